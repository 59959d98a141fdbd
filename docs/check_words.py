"""Find words that our text does not use, and name the field's word for each: ``nox -s lint``.

Covered are the documents, the API's document, deploy/, the console's templates, and of every module
its comments, its docstrings, its texts (what has a space: errors, help, log messages) and the names
of its tests. Code blocks, inline code and link targets are not read: names are names.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
CONSOLE = "entrypoints/notification_entrypoints/console"
COVERED = (
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md"),
    *("notification_core/**/*.py", "adapters/**/*.py", "entrypoints/**/*.py", "docs/**/*.py"),
    *("tests/**/*.py", "*.py", "deploy/**/*.yaml", "deploy/**/*.service"),
    *(f"{CONSOLE}/templates/**/*.html", f"{CONSOLE}/static/console.js"),
    "entrypoints/notification_entrypoints/api/openapi/openapi.yaml",
)
LEFT_OUT = ("docs/check_words.py", "docs/_build/")
"""This file names the words itself."""

WORDS = {
    r"(?:no|drop|few|most|many|of|make) doubles|Doubled\b|a double\b(?! quote|,)": "duplicate",
    r"(?:is|are|was|were|be|been|being) away\b|went away": "unavailable, unreachable",
    r"who calls|asks? nobody|nobody is asked|nobody asked": "authentication (is disabled)",
    r"vouch\w*": "CA bundle, trusted certificate authorities",
    r"heed(?:s|ed|ing)?\b": "honoured, takes effect",
    r"(?:un)?judge[sd]?\b|judging\b|judge?ments?\b": "validated, checked, evaluated",
    r"(?:un)?packed\b": "compressed, decompressed",
    r"(?:tried|made|sent|delivered|begun) again\b|made once more": "retried, redelivered, repeated",
    r"anew\b": "again, re-encrypted, recreated",
    r"for good\b": "permanently",
    r"mend(?:s|ed|ing)?\b": "fix",
    r"pass(?:es|ed)? over\b": "ignored, skipped",
    r"in the place of\b|in (?:its|their) place\b": "instead of, replaces",
    r"stands? still\b|stood still\b": "hangs, is frozen",
    r"(?:is|are|was|were) no (?:ids?|events?|credentials?|errors?|secrets?|settings?)\b": "not a",
    r"looke?d?-ups?\b": "lookup, DNS lookup",
    r"fail-over": "failover",
    r"\d[\d,.]* (?:\w+ )?a second\b|times a second\b": "per second",
    r"(?:once|one) in \d+ seconds": "every … seconds",
    r"alarms?\b": "alert",
    r"bills? of (?:its |their )?materials": "SBOM",
    r"amid\b": "during",
    r"answer(?:s|ed)? (?:with )?(?:a )?[1-5]\d\d\b|answered with": "returns, responds with",
    r"former (?:secrets?|ones?)\b": "previous",
    r"(?:takes?|taken|took) in\b": "ingest, consume",
    r"lone message": "single message",
    r"at the most\b": "at most",
    r"(?:this|the|that) machine\b(?!'s)": "host, localhost",
    r"way out\b": "egress, outbound network",
    r"bec(?:a|o)mes? of\b": "what happened to, delivery status",
    r"opens nothing\b": "is rejected",
    r"name service\b": "DNS",
    r"to the letter\b": "strictly",
    r"is to be had\b": "is available",
    r"(?:many|much) as (?:it|there|they) may\b": "limit, at its limit",
    r"(?:absent|left out|empty|refused|nothing|there) where\b|where there (?:is|are)\b": "if",
}
PATTERN = re.compile(  # A line may end within a phrase.
    rf"(?<![\w-])(?:{'|'.join(f'({pattern})' for pattern in WORDS)})".replace(" ", r"\s+"),
    re.IGNORECASE,
)
BETTER = tuple(WORDS.values())
GENERATED = re.compile(r"<!-- (figures|summary) -->.*?<!-- end of \1 -->", re.DOTALL)
NAMES = re.compile(
    r"^\| Before \|.*?\n\n|```.*?```|``[^`\n]*``|`[^`\n]*`|\]\([^)]*\)|<[^>\s]+>|\"[^\"\n]{0,80}\"",
    re.DOTALL | re.MULTILINE,
)


def findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the word that stands there and the word to use."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from _found(1, text, skip_names=path.suffix == ".md")
        return
    yield from _found(1, comments(text), skip_names=True)
    for line, said in texts(ast.parse(text)):
        yield from _found(line, said, skip_names=True)


def _found(line: int, text: str, *, skip_names: bool) -> Iterator[tuple[int, str, str]]:
    if skip_names:
        for skipped in (GENERATED, NAMES):
            text = skipped.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in PATTERN.finditer(text):
        place = line + text.count("\n", 0, found.start())
        yield place, " ".join(found[0].split()), BETTER[(found.lastindex or 1) - 1]


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield a module's docstrings, its texts and the names of its tests, each with its line."""
    parts = set[ast.AST]()
    for node in ast.walk(tree):  # A text in parts comes before its parts.
        match node:
            case ast.JoinedStr(values):
                parts |= set(values)
                said = [part.value if isinstance(part, ast.Constant) else "…" for part in values]
                yield node.lineno, "".join(map(str, said))
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name.startswith("test_"):
                yield node.lineno, node.name.replace("_", " ")
            case ast.Constant(str(text)) if " " in text and node not in parts:
                yield node.lineno, text


def comments(source: str) -> str:
    """Return a module with all but its comments made blank."""
    blank = [re.sub(r"[^\n]", " ", line) for line in source.splitlines(keepends=True)]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            line = blank[row - 1]
            said = token.string.replace("#", " ", 1)
            blank[row - 1] = line[:column] + said + line[column + len(said) :]
    return "".join(blank)


def main() -> int:
    """Print each finding with its place; fail if there is one."""
    count = 0
    for path in sorted({path for pattern in COVERED for path in CHECKOUT.glob(pattern)}):
        name = path.relative_to(CHECKOUT).as_posix()
        if not name.startswith(LEFT_OUT):
            for line, word, better in sorted(set(findings(path))):
                print(f"{name}:{line}: {word!r}: use {better}")
                count += 1
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())
