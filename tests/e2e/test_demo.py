"""The demonstration and the examples: what the README shows is what happens."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from uuid import UUID

import jsonschema_rs
import pytest

from notification_core.model.signing_key import new_signing_key
from notification_core.signing.signatures import SignatureHeaders, sign
from tests.support.samples import EVENT_TYPES

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def example(name: str) -> ModuleType:
    """Import an example by its path."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_demonstration_loses_nothing_and_ends_all_its_processes(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    ran = subprocess.run(  # noqa: S603 - this interpreter with our own script
        [sys.executable, str(EXAMPLES / "demo.py"), "--keep", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Nothing is missing." in ran.stdout
    assert ran.stdout.count("verified, returned 500") == 1
    assert ran.stdout.count("verified, returned 204") == 28
    assert re.search(r" failed +500 .* 1  pipeline-\S+ +assembly-hall-\d\d", ran.stdout)
    assert re.search(r" succeeded +204 .* 2  \S+ +assembly-hall-\d\d", ran.stdout)
    assert re.search(r"events acknowledged +2,000", ran.stdout)
    assert "\x1b" not in ran.stdout
    assert not processes_that_mention(folder)


def processes_that_mention(folder: Path) -> Sequence[str]:
    """Return the command lines of the processes that were started with this folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode())
        except (OSError, ValueError):
            continue
    return [line for line in lines if str(folder) in line]


def received(event_id: str, delivery: str, attempt: int, http_code: int = 204) -> dict[str, object]:
    return {
        "verified": True,
        "problem": None,
        "event": "job-created",
        "event_id": event_id,
        "webhook-delivery": delivery,
        "webhook-attempt": str(attempt),
        "http_code": http_code,
    }


def attempt(event_id: str, delivery: str, number: int, outcome: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "delivery_id": delivery,
        "attempt": number,
        "outcome": outcome,
    }


SEEN = [received("a", "d1", 1), received("b", "d2", 1), received("b", "d2", 2)]
LOG = [
    attempt("a", "d1", 1, "succeeded"),
    attempt("b", "d2", 1, "interrupted"),
    attempt("b", "d2", 2, "succeeded"),
]


def verdict(seen: Sequence[object], log: Sequence[object]) -> tuple[bool, dict[str, int]]:
    demo = example("demo")
    receiver = demo.Receiver()
    receiver.read([json.dumps(line) for line in seen])
    counted = demo.count({"a", "b"}, receiver, log, 0)
    return counted.holds(), {what: number for what, number, *_ in counted.rows()}


def test_the_demonstrations_count_accepts_a_duplicate_after_a_crash() -> None:
    holds, numbers = verdict(SEEN, LOG)
    assert holds
    assert numbers["arrived once more"] == 1
    assert numbers["of these cut off by the kill"] == 1


@pytest.mark.parametrize(
    ("seen", "log"),
    [
        (SEEN[1:], LOG),
        ([SEEN[0] | {"verified": False}, *SEEN[1:]], LOG),
        (SEEN, LOG[:2]),
        (SEEN, [LOG[0], LOG[2]]),
        ([*SEEN, SEEN[0]], LOG),
    ],
    ids=["lost", "unverified", "unfinished", "unlogged", "more doubles than in flight"],
)
def test_the_demonstrations_count_sees_what_is_missing(
    seen: Sequence[object], log: Sequence[object]
) -> None:
    assert not verdict(seen, log)[0]


def test_the_example_events_are_good_ones_of_every_type() -> None:
    text = (EXAMPLES / "pipeline.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert {event["event"] for event in events} == set(EVENT_TYPES)
    assert len({event["event_id"] for event in events}) == len(events)
    assert sorted(event["occurred_at"] for event in events) == [e["occurred_at"] for e in events]
    for event in events:
        schema = dict(EVENT_TYPES[event["event"]].schema)
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(event["data"])


def test_the_example_verifier_tells_a_genuine_request_from_another() -> None:
    is_genuine = example("verify_request").is_genuine
    now = datetime.now(UTC)
    key = new_signing_key(UUID(int=1), now, b"k" * 32)
    names = SignatureHeaders("X-3dverse-Signature", "X-3dverse-Signature-Timestamp")
    headers = dict(sign(names, [key], "msg_1", int(now.timestamp()), b"{}"))
    assert is_genuine(b"{}", headers, key.public_key.hex())
    assert not is_genuine(b"{ }", headers, key.public_key.hex())
    lower = {name.lower(): value for name, value in headers.items()}
    assert is_genuine(b"{}", lower, [key.public_key.hex()])
    assert not is_genuine(b"{}", {}, key.public_key.hex())


def test_the_readme_shows_the_example_verifier_as_it_is() -> None:
    code = (EXAMPLES / "verify_request.py").read_text(encoding="utf-8").partition("\n\n")[2]
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_pictures_and_pages_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert targets
    assert all((ROOT / target).exists() for target in targets)
