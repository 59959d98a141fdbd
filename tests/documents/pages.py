"""The code blocks of a page, and what its comments say about running them.

A comment in the page's source is about the block that follows it::

    <!-- documents: not run, it needs a Kafka broker -->
    <!-- documents: serves http://127.0.0.1:3616/readyz -->  in the background, until the page ends
    <!-- documents: needs PostgreSQL -->                     at db.example.com:5432, for the page
    <!-- documents: answer y -->                             on a terminal where a question is asked
    <!-- documents: before
    hidden lines above the block; one that ends with a colon has the block indented below it
    -->
    <!-- documents: after
    hidden lines below the block
    -->

``run`` instead of ``before`` has no block: its lines are commands of a shell by themselves.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

from attrs import field, frozen

CHECKOUT = Path(__file__).parents[2]
DATA = frozenset({"", "text", "json", "yaml"})
"""What no block of these languages does is run; JSON has to be valid."""

_PART = re.compile(
    r"^ *<!-- documents: (?P<comment>.*?)\s*-->"
    r"|^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_KINDS = ("not run,", "serves", "answer", "before", "after", "run", "needs PostgreSQL")


@frozen
class Block:
    """A block of a page, with the line that it begins in; ``notes`` are its comments by kind."""

    page: str
    line: int
    language: str
    code: str
    notes: dict[str, str] = field(factory=dict)

    @property
    def place(self) -> str:
        """Where it stands, for a person."""
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run, None if it is."""
        return self.notes.get("not run,")

    @property
    def whole(self) -> str:
        """Its code with the hidden lines around it."""
        before, after = self.notes.get("before", ""), self.notes.get("after", "")
        code = indent(self.code, "    ") if before.endswith(":") else self.code
        return "\n".join(part for part in (before, code, after) if part) + "\n"


def pages() -> list[Path]:
    """Return README, tutorial, guides and the other pages that have commands, in this order."""
    patterns = ("README.md", "docs/index.md", "docs/tutorial/*.md", "docs/how-to/**/*.md")
    return [path for pattern in patterns for path in sorted(CHECKOUT.glob(pattern))]


def blocks(path: Path) -> Iterator[Block]:
    """Yield the blocks of a page that are code; raise ``ValueError`` for a comment of no kind."""
    text, notes = path.read_text("utf-8"), dict[str, str]()
    page = path.relative_to(CHECKOUT).as_posix()
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        if comment := part["comment"]:
            kind = next((kind for kind in _KINDS if comment.startswith(kind)), None)
            if kind is None:
                raise ValueError(f"{page}:{line}: {comment!r} says nothing that is known.")
            said = dedent(comment.removeprefix(kind).lstrip(" ").lstrip("\n")).rstrip()
            if kind == "needs PostgreSQL":
                continue  # a matter of the page, not of a block
            if kind == "run":
                yield Block(page, line, "sh", said + "\n", {kind: ""})
            else:
                notes[kind] = said
        elif not (language := part["language"].strip()).startswith("{"):
            yield Block(page, line, language, dedent(part["code"]), notes)
            notes = {}
    if notes:
        raise ValueError(f"{page}: no block follows the comment {next(iter(notes))!r}.")
