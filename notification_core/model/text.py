"""Text that customers write: what every field of it must keep to."""

import re
from collections.abc import Iterator

from notification_core.errors import Detail

# Text that some storage cannot hold: NUL, and halves of characters that are no UTF-8.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def validate_text(name: str, text: str, most: int) -> Iterator[Detail]:
    """Yield what is wrong with the text of a field that may have ``most`` characters."""
    if len(text) > most:
        yield Detail(name, f"The {name} has {len(text):,} characters. Give at most {most:,}.")
    elif _UNSTORABLE.search(text):
        yield Detail(name, f"The {name} holds U+0000 or half a character. Leave it out.")
