"""Deliver through a rotation of secrets, and have each language's published library verify that.

Each is built below ``build/receivers`` from its registry, locked as the folders here say, and given
every request with every secret: it has to agree with what was live, and to refuse another body.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from tests.faults.stage import Api, running
from tests.receivers.commands import BUILD, HERE, run
from tests.support.receivers import ReceivedRequest, Receiver


@frozen
class Library:
    """A language's library: how its receiver is built, and called with what it is to verify."""

    build: Sequence[Sequence[str]]
    call: Sequence[str]


LIBRARIES: Mapping[str, Library] = {
    "node": Library([["npm", "ci", "--silent"]], ["node", "verify.mjs"]),
    "go": Library([["go", "build", "-o", "verify", "."]], ["./verify"]),
    "rust": Library([["cargo", "build", "--quiet", "--locked"]], ["target/debug/verify"]),
    "java": Library(
        [
            [
                "mvn",
                "--quiet",
                "--batch-mode",
                "dependency:copy-dependencies",
                "-DoutputDirectory=libs",
            ],
            ["javac", "-cp", "libs/*", "Verify.java"],
        ],
        ["java", "-cp", "libs/*:.", "Verify"],
    ),
}


@frozen
class Sample:
    """A request as it arrived, and the secrets that were live when it was signed."""

    request: ReceivedRequest
    live: frozenset[str]


async def delivered(api: Api, receiver: Receiver) -> tuple[Sequence[str], Sequence[Sample]]:
    """Deliver without a secret, with one, with two, and with one of them revoked."""
    webhook_id = await api.subscribe(receiver.url)
    path, secrets, live = f"webhooks/{webhook_id}/signing-secrets", list[str](), set[str]()
    samples = []
    for number in range(3):
        if number:
            secrets.append(str((await api.call("POST", path, {}))["secret"]))
            live.add(secrets[-1])
        await api.publish(f"event-{number}")
        requests = await receiver.wait_for(number + 1)
        samples.append(Sample(requests[-1], frozenset(live)))
    return secrets, samples


async def disagreements(
    name: str, secrets: Sequence[str], samples: Sequence[Sample]
) -> Sequence[str]:
    """Return where a library does not verify what it should, or verifies what it should not."""
    wrong = []
    for sample in samples:
        fields = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = [sample.request.headers[field] for field in fields]
        body = sample.request.body
        for secret in secrets:
            for content, expected in ((body, secret in sample.live), (body + b" ", False)):
                command = (*LIBRARIES[name].call, secret, *headers)
                code, said = await run(BUILD / name, *command, stdin=content)
                if (code == 0) != expected:
                    wrong.append(f"{headers[0]}: expected {expected}, exit code {code}: {said}")
    return wrong


async def main(names: Sequence[str]) -> int:
    """Try the libraries of these languages; return how many of them disagree."""
    bad = 0
    with TemporaryDirectory() as folder:
        async with Receiver() as receiver, running(Path(folder)) as (_, api):
            secrets, samples = await delivered(api, receiver)
    for name in names:
        absent = [command[0] for command in LIBRARIES[name].build if not shutil.which(command[0])]
        if absent:
            print(f"skipped  {name}, library: {absent[0]} is not installed")
            continue
        failure = await _built(name)
        wrong = [failure] if failure else await disagreements(name, secrets, samples)
        bad += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':7}  {name}, library", *wrong, sep="\n         ")
    return bad


async def _built(name: str) -> str | None:
    """Build a library's receiver; return what a failing command printed, None if all succeed."""
    shutil.copytree(HERE / name, BUILD / name, dirs_exist_ok=True)
    for command in LIBRARIES[name].build:
        code, said = await run(BUILD / name, *command)
        if code:
            return said
    return None
