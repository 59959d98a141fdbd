"""Real Kafka servers on loopback, each ended by its own pid."""

import base64
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from attrs import define, field, frozen

from tests.kafka.jars import jars, java
from tests.support.certificates import Authority
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

USER, PASSWORD = "alice", "alice's secret"

_STOP_SECONDS = 15.0
_HOST = "127.0.0.1"
_LOGGING = """
<Configuration>
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="kafka.server" level="info"/>
    <Root level="warn"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""
_STARTED = "Kafka Server started"
_ONE_OF_EACH = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
}


@define
class Server:
    """A Kafka process: its folder, its port, and whether it runs."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _lives: int = 0

    @property
    def address(self) -> str:
        """Where its plain listener is."""
        return f"{_HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and return once it says that it has."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start it, and do not wait."""
        self._lives += 1
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - this test's own words
                [*_java(self.folder, "-Xmx384m"),
                 "kafka.Kafka", self.folder / "server.properties"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> None:
        """Return once it has started."""
        end = time.monotonic() + PATIENCE
        while _STARTED not in self.said():
            assert self.process
            assert self.process.poll() is None, f"Kafka ended: {self.said()}"
            assert time.monotonic() < end, f"Kafka does not start: {self.said()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Tell it to end, and wait; what does not end by then is killed."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """Return what its present process has printed."""
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.folder / f"server-{self._lives}.log"

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@frozen
class Broker:
    """One server that is everything, with its other doors and what opens them.

    ``certificate`` is a client's, with its key. Who comes by the door ``behind`` is told to come by
    the port ``before`` it from then on: a test puts a proxy there.
    """

    server: Server
    behind: int
    before: int
    tls: str
    sasl: str
    authority: Path
    certificate: Path


@define
class Cluster:
    """A controller of its own, and brokers that come and go."""

    controller: Server
    brokers: Sequence[Server] = field(factory=list)

    @property
    def addresses(self) -> str:
        """Where the brokers are, as a comma list."""
        return ",".join(broker.address for broker in self.brokers)


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Run one server that is controller and broker, with a door for each kind of security."""
    port, controller, tls, sasl, behind, before = free_ports(6)
    authority = Authority(folder)
    (folder / "authority.pem").write_text(authority.certificate)
    authority.server("localhost")
    server = Server(folder, port)
    listeners = {
        "PLAINTEXT": server.address,
        "CONTROLLER": f"{_HOST}:{controller}",
        "SSL": f"localhost:{tls}",
        "SASL_SSL": f"localhost:{sasl}",
        "PROXIED": f"{_HOST}:{behind}",
    }
    advertised = listeners | {"PROXIED": f"{_HOST}:{before}"}
    del advertised["CONTROLLER"]
    _format(
        server,
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": _listed(listeners),
            "advertised.listeners": _listed(advertised),
            "listener.security.protocol.map": _protocols(listeners),
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"{_HOST}:{controller}",
            **_ONE_OF_EACH,
            **_security(folder),
        },
        "--standalone",
        "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]",
    )  # fmt: skip
    with _ended(server):
        server.start()
        yield Broker(
            server,
            behind=behind,
            before=before,
            tls=listeners["SSL"],
            sasl=listeners["SASL_SSL"],
            authority=folder / "authority.pem",
            certificate=folder / "localhost.pem",
        )


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Run one controller and two brokers, so that one of these may die."""
    cluster_id = _cluster_id()
    ports = free_ports(3)
    controller, *brokers = (
        Server(folder / f"node-{node}", port) for node, port in enumerate(ports, 1)
    )
    quorum = {
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": controller.address,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    roles = {
        "process.roles": "controller",
        "node.id": "1",
        "listeners": f"CONTROLLER://{controller.address}",
    }
    _format(controller, {**quorum, **roles}, "--standalone", cluster_id=cluster_id)
    for node, broker in enumerate(brokers, 2):
        roles = {
            "process.roles": "broker",
            "node.id": str(node),
            "listeners": f"PLAINTEXT://{broker.address}",
            "offsets.topic.replication.factor": "2",
        }
        properties = {**_ONE_OF_EACH, **quorum, **roles}
        _format(broker, properties, "--no-initial-controllers", cluster_id=cluster_id)
    with ExitStack() as stack:
        for server in (controller, *brokers):
            stack.enter_context(_ended(server))
            server.spawn()
        for server in (controller, *brokers):
            server.wait()
        yield Cluster(controller, brokers)


@contextmanager
def _ended(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        server.stop()


def _format(
    server: Server, properties: Mapping[str, str], *how: str, cluster_id: str | None = None
) -> None:
    server.folder.mkdir(parents=True, exist_ok=True)
    (server.folder / "log4j2.xml").write_text(_LOGGING)
    lines = [f"{name}={value}\n" for name, value in properties.items()]
    path = server.folder / "server.properties"
    path.write_text("".join([*lines, f"log.dirs={server.folder / 'data'}\n"]))
    subprocess.run(  # noqa: S603 - this test's own words
        [*_java(server.folder), "kafka.tools.StorageTool", "format",
         "--cluster-id", cluster_id or _cluster_id(), "--config", path, *how],
        check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _java(folder: Path, *options: str) -> Sequence[str | Path]:
    program, libraries = java(), jars()
    assert program
    assert libraries
    # What lives for a minute is not worth a second compilation, nor threads that collect garbage.
    options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *options)
    # The folder is on the class path for its log4j2.xml.
    return [program, *options, "-cp", os.pathsep.join([str(folder), f"{libraries}/*"])]


def _cluster_id() -> str:
    return "A" + base64.urlsafe_b64encode(uuid4().bytes)[:21].decode()


def _listed(listeners: Mapping[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in listeners.items())


def _protocols(listeners: Mapping[str, str]) -> str:
    plain = {"CONTROLLER", "PROXIED"}
    return ",".join(f"{name}:{'PLAINTEXT' if name in plain else name}" for name in listeners)


def _security(folder: Path) -> Mapping[str, str]:
    """Return what the server proves itself with, and whom it lets in."""
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "localhost.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "authority.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'{plain} required user_{USER}="{PASSWORD}";'
        ),
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{scram} required;",
    }
