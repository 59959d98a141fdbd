"""``python -m tests.receivers``: the examples of docs/receivers, and published libraries, verify.

Each example is built from its files, served, and tried by :mod:`tests.receivers.scenario`; then
the libraries are (:mod:`tests.receivers.libraries`). Names choose; what is not installed is skipped
and says so. Ends with the number of those that fail.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from attrs import evolve

# Where the vectors are made, as docs/generate.py finds them.
sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

from tests.faults.stage import Api, running
from tests.receivers import libraries
from tests.receivers.examples import EXAMPLES, Example
from tests.receivers.scenario import KeyServer, Trial

_AT_ONCE = 4


async def try_examples(names: Sequence[str]) -> int:
    """Build, run and try these examples; return how many fail."""
    chosen = [EXAMPLES[name] for name in names]
    failures: dict[str, str | None] = {}
    for project in {example.project.name: example.project for example in chosen}.values():
        failures[project.name] = None if project.missing() else await project.make()
    with TemporaryDirectory() as folder:
        async with running(Path(folder)) as (_, api):
            key_server = KeyServer(api)
            async with key_server.listening():
                gate = asyncio.Semaphore(_AT_ONCE)
                trials = [_try(each, failures, api, key_server, gate) for each in chosen]
                return sum(await asyncio.gather(*trials))


async def _try(
    example: Example,
    failures: dict[str, str | None],
    api: Api,
    key_server: KeyServer,
    gate: asyncio.Semaphore,
) -> bool:
    """Try an example and print what was found; return whether it fails."""
    missing, failure = example.project.missing(), failures[example.project.name]
    if missing:
        print(f"skipped  {example.name}: {missing}")
        return False
    trial = Trial(example, evolve(api, environment=str(uuid4())), key_server)
    if failure:
        trial.problems.append(failure)
    else:
        try:
            async with gate:
                await trial.run()
        except AssertionError as error:
            trial.problems.append(str(error))
    problems = trial.problems
    print(f"{'FAILED' if problems else 'ok':7}  {example.name}: {trial.requests} requests")
    for problem in problems:
        print(f"         {problem}")
    return bool(problems)


async def main(names: Sequence[str]) -> int:
    """Try what these names choose, by default everything."""
    examples = [name for name in EXAMPLES if name in names or not names]
    published = [name for name in libraries.LIBRARIES if name in names or not names]
    bad = await try_examples(examples) if examples else 0
    return bad + (await libraries.main(published) if published else 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
