"""Secrets are planted wherever one can be, and then looked for wherever something is told."""

import asyncio
import gc
import json
import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from attrs import frozen

from notification_adapters.sql.installation_tables import instance
from notification_adapters.sql.tables import ENCRYPTED, SCHEMA
from notification_core.encryption.cipher import Cipher
from notification_core.webhooks.webhooks import WebhookDraft
from notification_entrypoints import embedded
from notification_entrypoints.cli import main
from notification_entrypoints.commands import doctor
from notification_entrypoints.config.settings import Settings, variables
from tests.faults.place import ServerPlace
from tests.faults.stage import Up
from tests.support.ports import free_ports
from tests.support.receivers import LOOPBACK, Receiver
from tests.support.vault_server import KEY, vault_server
from tests.support.waiting import until

STORAGE, FORMER = "canaryStorageSecretAAAAAAAAAAAAA", "canaryFormerSecretBBBBBBBBBBBBBB"
PLANTED = {
    "DB_AUTH_PASS": "canaryDatabasePassword",
    "API_BOOTSTRAP_KEY": "canaryBootstrapKeyCCCCCCCCCCCCCCCCC",
    "KAFKA_SASL_PASSWORD": "canaryKafkaPassword",
    "KAFKA_SSL_KEY_PASSWORD": "canaryKafkaKeyPassword",
    "DB_ENCRYPTION_PREVIOUS_SECRETS": FORMER,
    "DB_ENCRYPTION_VAULT_TOKEN": "hvs.canaryVaultToken",
}
PROXY_PASSWORD = "canaryProxyPassword"
HEADER = "canaryHeaderValue"
SIGNING = b"canarySigningSecret-32-bytes-xyz"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnlKd3QifQ.Y2FuYXJ5U2lnbmF0dXJl"
ENVIRONMENT = str(uuid4())
WEBHOOK = {
    "name": "a webhook",
    "url": "http://receiver.example.com/hook",
    "events": ["job-created"],
    "custom_headers": {"authorization": HEADER, "x-api-key": HEADER},
}


def forms(secret: str | bytes) -> Iterator[str]:
    """Yield what a secret may look like where it is told."""
    raw = secret.encode() if isinstance(secret, str) else secret
    if isinstance(secret, str):
        yield secret
    else:
        yield repr(raw)[2:-1]
    yield raw.hex()
    # Of a longer text that is in Base64 as a whole it shows at one of three places.
    for before in range(3):
        text = b64encode(bytes(before) + raw).decode()
        yield text[4 if before else 0 : len(text) // 4 * 4 - 4]


def found(secrets: Mapping[str, str | bytes], told: Mapping[str, str]) -> Sequence[str]:
    """Return which secret is told where."""
    return [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for form in forms(secret)
        for place, text in told.items()
        if form in text
    ]


@frozen
class Asking:
    """Asks a process, and remembers every response by what was asked."""

    session: aiohttp.ClientSession
    ports: Sequence[int]
    responses: dict[str, str]

    async def api(
        self, method: str, path: str, key: str, body: object = None, *, keep: bool = True
    ) -> object:
        url = f"http://{LOOPBACK}:{self.ports[0]}/api/{path}"
        headers = {"Authorization": f"Bearer {key}"}
        async with self.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            if keep:
                self.responses[f"{method} {path} ({len(self.responses)})"] = (
                    f"{response.headers}{text}"
                )
            return json.loads(text) if text else None

    async def ops(self, path: str) -> None:
        async with self.session.get(f"http://{LOOPBACK}:{self.ports[1]}/{path}") as response:
            self.responses[path] = await response.text()

    async def is_there(self) -> bool:
        try:
            url = f"http://{LOOPBACK}:{self.ports[0]}/api/openapi.json"
            async with self.session.get(url) as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def served(
    folder: Path, place: ServerPlace, **settings: str
) -> AsyncIterator[tuple[Up, Asking]]:
    """Run `up` on a server's database, although its Kafka never comes."""
    up = Up(folder, settings, place=place)
    try:
        await up.spawn()
        async with aiohttp.ClientSession() as session:
            asking = Asking(session, up.ports, {})
            await until("the API answers", asking.is_there, 60)
            yield up, asking
    finally:
        await up.close()


async def test_a_running_server_tells_none_in_any_log_answer_page_row_or_title(
    place: ServerPlace, tmp_path: Path
) -> None:
    (kafka,) = free_ports(1)
    async with vault_server() as vault, Receiver(407) as proxy:
        vault.token = PLANTED["DB_ENCRYPTION_VAULT_TOKEN"]
        settings = PLANTED | {
            "DB_ENCRYPTION_SECRET": vault.wrap(STORAGE),
            "DB_ENCRYPTION_VAULT_URI": vault.uri,
            "DB_ENCRYPTION_VAULT_KEY": KEY,
            "API_AUTH": "api_key,jwt",
            "API_JWT_ISSUER": "https://issuer.example.com/",
            "API_JWT_AUDIENCE": "us",
            "API_JWT_JWKS_URL": f"{proxy.url}jwks",
            "KAFKA_BROKERS": f"{LOOPBACK}:{kafka}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_USERNAME": "us",
            "WEBHOOKS_EGRESS_PROXY": f"http://us:{PROXY_PASSWORD}@{LOOPBACK}:{proxy.port}",
            "WEBHOOKS_MAX_RETRIES": "0",
            "DEBUG": "true",
        }
        async with served(tmp_path, place, **settings) as (up, asking):
            key = await _use_everything(asking, place)
            titles = {f"title of {pid}": _title(pid) for pid in _processes(up)}
    rows = await _rows(place)
    seeds = await _seeds(place)
    assert seeds
    secrets: dict[str, str | bytes] = {
        **PLANTED,
        "storage secret": STORAGE,
        "proxy password": PROXY_PASSWORD,
        "custom header": HEADER,
        "signing secret": SIGNING,
        "API key": key.rpartition("_")[2],
        "token": TOKEN.rpartition(".")[2],
    }
    told = {"the log": up.said(), **asking.responses, **titles, **rows}
    assert any("Proxy-Authorization" in asked.headers for asked in proxy.requests)
    assert "aiokafka" in up.said(), "brokers were looked for"
    assert "UndefinedTableError" in up.said(), "and a statement failed"
    assert found({**secrets, **seeds}, told) == []
    rekeyed = {f"{column.table.name}.{column.name}" for column in (*ENCRYPTED, instance.c.canary)}
    assert {"webhooks.custom_headers", "webhooks.signing_secrets"} <= await _encrypted(place)
    assert await _encrypted(place) <= rekeyed, "`rekey` knows every column of encrypted texts"


async def _use_everything(asking: Asking, place: ServerPlace) -> str:
    """Have it use every secret, with success and without; return an API key of its own."""
    boot = PLANTED["API_BOOTSTRAP_KEY"]
    wanted = {"name": "a key", "scope": "admin", "environments": "all"}
    made = await asking.api("POST", "keys", boot, wanted, keep=False)
    assert isinstance(made, dict), made
    key = str(made["key"])
    hook = await asking.api("POST", f"environments/{ENVIRONMENT}/webhooks", key, WEBHOOK)
    assert isinstance(hook, dict)
    webhook = f"webhooks/{hook['webhook_id']}"
    secret = {"secret": f"whsec_{b64encode(SIGNING).decode()}"}
    await asking.api("POST", f"{webhook}/signing-secrets", key, secret, keep=False)
    await asking.api("POST", f"{webhook}/signing-secrets", key, secret)
    await asking.api("POST", f"{webhook}/signing-secrets", key, {"secret": SIGNING.decode()})
    event = {"event": "job-created", "data": {}}
    await asking.api("POST", f"environments/{ENVIRONMENT}/events", key, event)
    await asking.api("POST", f"{webhook}/test", key, {})
    await until("it was attempted", lambda: _is_logged(place))
    for path in (
        *(
            webhook,
            f"{webhook}/logs",
            f"{webhook}/deliveries",
            f"{webhook}/signing-secrets",
            "keys",
            "audit",
        ),
        *(f"environments/{ENVIRONMENT}/{what}" for what in ("webhooks", "settings", "audit")),
    ):
        await asking.api("GET", path, key)
    for stranger in (TOKEN, f"{key}x", f"{boot}x", FORMER):
        await asking.api("GET", webhook, stranger)
    await asking.api(
        "POST", f"environments/{ENVIRONMENT}/webhooks", key, {"custom_headers": HEADER}
    )
    await _break(place, "ALTER TABLE attempts RENAME TO gone")
    await asking.api("GET", f"{webhook}/logs", key)
    await _break(place, "ALTER TABLE gone RENAME TO attempts")
    pages = ("tasks", "threads", "settings", "profile?seconds=1", "memory?seconds=1", "")
    for path in ("metrics", "info", "readyz", "status", *(f"debug/{page}" for page in pages)):
        await asking.ops(path)
    return key


async def _is_logged(place: ServerPlace) -> bool:
    return await place.count("SELECT count(*) FROM attempts") >= 2


async def _break(place: ServerPlace, statement: str) -> None:
    async with place.postgres.connected(place.database) as connection:
        await connection.execute(statement)


async def _rows(place: ServerPlace) -> Mapping[str, str]:
    """Return every row of every table, as PostgreSQL writes it."""
    async with place.postgres.connected(place.database) as connection:
        return {
            f"table {name}": str(await connection.fetch(f'SELECT "{name}"::text FROM "{name}"'))  # noqa: S608 - our own tables
            for name in SCHEMA.tables
        }


async def _encrypted(place: ServerPlace) -> AbstractSet[str]:
    """Return every column that holds an encrypted text."""
    columns: set[str] = set()
    async with place.postgres.connected(place.database) as connection:
        for name in SCHEMA.tables:
            rows = await connection.fetch(f'SELECT row_to_json("{name}") FROM "{name}"')  # noqa: S608 - our own tables
            columns |= {
                f"{name}.{column}"
                for (row,) in rows
                for column, value in json.loads(row).items()
                if isinstance(value, str) and re.match(r"v1\.[0-9a-f]{8}\.", value)
            }
    return columns


async def _seeds(place: ServerPlace) -> Mapping[str, bytes]:
    """Return the private halves of all signing keys."""
    async with place.postgres.connected(place.database) as connection:
        stored = await connection.fetch("SELECT * FROM environment_keys")
    return {
        f"private key {row['key_id']}": Cipher(STORAGE).decrypt(
            row["private_key"],
            ("environment_keys", "private_key", str(row["environment_id"]), row["key_id"]),
        )
        for row in stored
    }


def _processes(up: Up) -> Sequence[int]:
    assert up.process
    return up.process.pid, *up.workers


def _title(pid: int) -> str:
    return "".join(Path(f"/proc/{pid}/{file}").read_text() for file in ("cmdline", "comm"))


@pytest.mark.parametrize("command", ["migrate", "rekey", "dead-letters list", "doctor"])
def test_a_command_that_fails_tells_none_not_even_with_its_traceback(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_LOOKED_UP", "localhost")  # tests ask no name server
    (nobody,) = free_ports(1)
    settings = PLANTED | {
        "DB_ENCRYPTION_SECRET": STORAGE,
        "DB_URI": f"{LOOPBACK}:{nobody}",
        "API_AUTH": "api_key",
        "DEBUG": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    main(["--debug", *command.split()])
    said = capsys.readouterr()
    secrets = PLANTED | {"storage secret": STORAGE}
    assert found(secrets, {"stdout": said.out, "stderr": said.err}) == []
    monkeypatch.setenv("DB_URI", f"postgresql://us:{HEADER}@{LOOPBACK}:{nobody}/x?sslmode={HEADER}")
    monkeypatch.setenv("API_BOOTSTRAP_KEY", "canary key")
    main(["--debug", *command.split()])
    said = capsys.readouterr()
    secrets |= {"URI": HEADER, "bootstrap": "canary key"}
    assert found(secrets, {"stdout": said.out, "stderr": said.err}) == []


async def test_no_object_of_ours_shows_one_and_none_is_logged_at_any_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Receiver(500) as receiver:
        chosen = embedded.settings(
            **{name: value for name, value in PLANTED.items() if not name.startswith("KAFKA")},
            DB_URI=f"sqlite:///{tmp_path}/n.sqlite",
            DB_ENCRYPTION_SECRET=STORAGE,
            API_AUTH="api_key",
            WEBHOOKS_EGRESS_PROXY=f"http://us:{PROXY_PASSWORD}@{LOOPBACK}:{receiver.port}",
        )
        with caplog.at_level(logging.DEBUG):
            await embedded.migrate(chosen)
            shown = await _shown_while_used(chosen)
    told = {"the log": caplog.text, **shown}
    secrets = PLANTED | {"storage": STORAGE, "proxy": PROXY_PASSWORD, "header": HEADER}
    assert len(shown) > 50, "objects were looked at"
    assert found(secrets, told) == []


async def _shown_while_used(chosen: Settings) -> Mapping[str, str]:
    """Return the repr of every object of our classes that lives while a webhook is sent to."""
    environment_id = uuid4()
    draft = WebhookDraft(
        name="n",
        url="http://receiver.example.com/",
        events=["job-created"],
        custom_headers={"authorization": HEADER},
    )
    async with embedded.open_notifications(chosen) as notifications:
        await notifications.webhooks.create(environment_id, draft)
        event = notifications.event(environment_id, "job-created", {})
        await notifications.publish([event])
        await notifications.verification_keys.published(environment_id)
        await asyncio.sleep(0)
        shown: dict[str, str] = {}
        for thing in gc.get_objects():
            if str(type(thing).__module__).startswith("notification_"):
                name = f"{type(thing).__module__}.{type(thing).__qualname__}"
                shown[name] = shown.get(name, "") + repr(thing)
        return shown
