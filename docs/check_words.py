"""Find words that our text does not use, and name the field's word for each: ``nox -s lint``.

Covered are README, SECURITY, CONTRIBUTING, the changelog, everything below docs/, the API's
document, the settings' help, and comments and docstrings of the product. What is left out is in
`NOT_YET`. Code blocks, inline code and link targets are not read: names are names.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
CONFIG = "entrypoints/notification_entrypoints/config"
COVERED = (
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md"),
    *("notification_core/**/*.py", "adapters/**/*.py", "entrypoints/**/*.py", "docs/**/*.py"),
    "noxfile.py",
    "entrypoints/notification_entrypoints/api/openapi/openapi.yaml",
    "entrypoints/notification_entrypoints/api/problems.py",
    f"{CONFIG}/groups.py",
)
# Tests are not read, and what the pages of the console say stands in templates. This file names the
# words itself.
NOT_YET = (
    *("docs/check_words.py", "entrypoints/notification_entrypoints/console/"),
    "entrypoints/notification_entrypoints/cli/status.py",
)
WHOLE = ("groups.py", "problems.py")
"""Modules of which every text is read, since people get to see it."""

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
PATTERNS = [
    (re.compile(rf"(?<![\w-])(?:{pattern})", re.IGNORECASE), word)
    for pattern, word in WORDS.items()
]
GENERATED = re.compile(r"<!-- figures -->.*<!-- end of figures -->", re.DOTALL)
NAMES = re.compile(
    r"^\| Before \|.*?\n\n|```.*?```|`[^`\n]*`|\]\([^)]*\)|<[^>\s]+>|\"[^\"\n]{0,80}\"",
    re.DOTALL | re.MULTILINE,
)


def findings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the word that stands there and the word to use."""
    text = path.read_text("utf-8")
    if path.suffix == ".py" and path.name not in WHOLE:
        text = prose(text)
    if path.suffix in {".md", ".py"}:
        for skipped in (GENERATED, NAMES):
            text = skipped.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for pattern, word in PATTERNS:
        for found in pattern.finditer(text.replace("\n", " ")):
            yield text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), word


def prose(source: str) -> str:
    """Return a module with all but its comments and docstrings made blank."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    kept = [
        (starts[token.start[0] - 1] + token.start[1], len(token.string))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first, last = starts[node.lineno - 1], starts[node.end_lineno or node.lineno]
            kept.append((first, last - first))
    blank = re.sub(r"[^\n]", " ", source)
    for start, length in kept:
        blank = blank[:start] + source[start : start + length] + blank[start + length :]
    return blank


def main() -> int:
    """Print each finding with its place; fail if there is one."""
    count = 0
    for path in sorted({path for pattern in COVERED for path in CHECKOUT.glob(pattern)}):
        name = path.relative_to(CHECKOUT).as_posix()
        if not name.startswith((*NOT_YET, "docs/_build/")):
            for line, word, better in sorted(findings(path)):
                print(f"{name}:{line}: {word!r}: use {better}")
                count += 1
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())
