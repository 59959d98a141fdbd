"""Commands of the session ``receivers``, and the folder that they build in."""

import asyncio
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "receivers"


async def run(folder: Path, *command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a command in a folder; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(stdin)
    return process.returncode or 0, said.decode(errors="replace").strip()
