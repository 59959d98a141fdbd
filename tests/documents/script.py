"""A page as one shell script, which stops at the first command that fails."""

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.documents.pages import DATA, Block

HERE = Path(__file__).parent
_PROGRAMS = {
    "python": ("python", "py"),
    "js": ("node", "mjs"),
    "go": ("go run", "go"),
    "sql": ('psql -Xq -v ON_ERROR_STOP=1 -d "$ADMINISTRATOR" -f', "sql"),
}
# ID, WEBHOOK_ID … are what a reader replaces: here by a variable of the shell.
_PLACEHOLDER = re.compile(r"(?<![\w${])((?:[A-Z]+_)?ID)\b(?!=)")


def script_of(blocks: Sequence[Block], folder: Path) -> str:
    """Return a page's script; what a block has in another language goes into a file of its own."""
    lines = [f". {shlex.quote(str(HERE / 'prelude.sh'))}"]
    for block in blocks:
        if block.reason is None:
            lines += [f"at {shlex.quote(block.place)}", *_run(block, folder)]
    return "\n".join(lines) + "\n"


def _run(block: Block, folder: Path) -> list[str]:
    if block.language in DATA:
        return []
    if block.language != "sh":
        program, suffix = _PROGRAMS[block.language]
        path = folder / f"block-{block.line}.{suffix}"
        path.write_text(block.whole)
        return [f"{program} {path.name}"]
    code = block.whole if "run" in block.notes else _PLACEHOLDER.sub(r"${\1}", block.whole)
    if (url := block.notes.get("serves")) is not None:
        return [
            f"{{ {code} }} > $HOME/served-{block.line}.log 2>&1 &",
            "SERVED=$!",
            f"wait_for {url}",
        ]
    if (answer := block.notes.get("answer")) is not None:
        path = folder / f"block-{block.line}.sh"
        path.write_text(code)
        return [f"echo {answer} | script -qec 'bash -eu {path.name}' /dev/null"]
    return [code]


def _check_json(code: str) -> None:
    """Raise ``ValueError`` unless it is JSON, or lines of a log, which may stand on two lines."""
    decoder, rest = json.JSONDecoder(), code.strip()
    while rest:
        _, end = decoder.raw_decode(rest)
        rest = rest[end:].strip()


def reasons(block: Block) -> str | None:
    """Return why a block cannot run here, None if it can; raise ``ValueError`` for a wrong one."""
    if block.reason is not None:
        return block.reason
    if block.language == "json":
        _check_json(block.code)
    if block.language in DATA or block.language == "sh":
        return None
    if block.language not in _PROGRAMS:
        raise ValueError(f"{block.place}: say how to run {block.language!r}, or why it is not run.")
    program = _PROGRAMS[block.language][0].split()[0]
    return None if shutil.which(program) else f"{program} is not installed"
