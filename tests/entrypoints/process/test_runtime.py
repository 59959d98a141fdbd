"""A process from its start to its end."""

import io
import os
import signal

import pytest

from notification_entrypoints.config.settings import load_settings
from notification_entrypoints.observability.log_output import LogOutput
from notification_entrypoints.process import runtime
from notification_entrypoints.process.runtime import ServerProcess
from notification_entrypoints.serving.http_server import stop_signals
from tests.support.ports import free_ports
from tests.support.waiting import until


async def test_told_to_stop_while_it_starts_it_ends_in_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounded: list[bool] = []
    monkeypatch.setattr(runtime, "force_exit_after", lambda: bounded.append(True))
    (port,) = free_ports(1)
    settings = load_settings({"DB_ENCRYPTION_SECRET": "s" * 32, "OPS_SERVER_PORT": str(port)})

    async def its_end_is_bounded() -> bool:
        return bool(bounded)

    process = ServerProcess(settings, LogOutput(io.StringIO()))
    async with process.open():
        os.kill(os.getpid(), signal.SIGTERM)
        await until("its end is bounded, though it does not serve yet", its_end_is_bounded)
        await process.wait_for_stop()


async def test_a_hangup_stops_it() -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        await stop.wait()


async def test_a_hangup_that_was_ignored_before_does_not_count() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True

    try:
        with stop_signals(end) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            assert not ended, "there was one signal, and no second one"
    finally:
        signal.signal(signal.SIGHUP, before)
