"""Code that verifies requests, to copy into a receiver: the examples of the guide."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

# The build puts them beside this module; in a checkout they are where the guide has them.
_BUILT: Final = Path(__file__).with_name("receivers")
_FOLDER: Final = _BUILT if _BUILT.exists() else Path(__file__).parents[3] / "docs" / "receivers"
_FILES: Final = {
    "python": "webhook_verifier.py",
    "node": "webhook-verifier.mjs",
    "edge": "receiver-edge.ts",
    "go": "receiver.go",
    "java": "Receiver.java",
    "rust": "receiver.rs",
    "ruby": "receiver.ru",
    "php": "receiver.php",
    "csharp": "Receiver.cs",
    "shell": "verify.sh",
}
LANGUAGES: Final = {
    "python": "Python",
    "node": "Node.js",
    "edge": "Edge workers",
    "go": "Go",
    "java": "Java",
    "rust": "Rust",
    "ruby": "Ruby",
    "php": "PHP",
    "csharp": "C#",
    "shell": "Shell (openssl)",
}


def verification_code(settings: Mapping[str, Any], language: str) -> str:
    """Return the code in one of ``LANGUAGES``, with the headers as the installation calls them.

    ``settings`` are those of an environment as the API shows them.
    """
    form = settings["public_verification_key"]["signature"]
    # The longer names first: they begin with the shortest one.
    names = {
        "X-3dverse-Signature-Timestamp": form["timestamp_header"],
        "X-3dverse-Signature-Key-Id": form["key_id_header"],
        "X-3dverse-Signature": form["header"],
    }
    code = _text_of(_FILES[language])
    for name, chosen in names.items():
        code = code.replace(name, chosen).replace(name.lower(), chosen.lower())
    return code


@cache
def _text_of(file: str) -> str:
    return (_FOLDER / file).read_text("utf-8")
