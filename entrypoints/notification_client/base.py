"""What the models of the API have in common: no secret is in their ``repr``."""

from typing import ClassVar

import msgspec
from msgspec import UNSET


class SecretFree(msgspec.Struct, frozen=True):
    """Leaves what may hold a secret out of its ``repr``, which lands in logs and tracebacks."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"custom_headers", "key", "secret"})

    def __repr__(self) -> str:
        """Return the fields that are set, but for secrets."""
        shown = ", ".join(
            f"{name}={value!r}"
            for name in self.__struct_fields__
            if name not in self.secret_fields
            and (value := getattr(self, name)) is not None
            and value is not UNSET
        )
        return f"{type(self).__name__}({shown})"


class Model(SecretFree, frozen=True, kw_only=True, omit_defaults=True):
    """What a response holds."""
