"""Which credentials the API accepts, as the settings say."""

from collections.abc import Iterator, Sequence

from notification_core.api_keys import digest_of
from notification_core.authentication import BootstrapKey, StoredKeys
from notification_core.ports.credentials import Credentials
from notification_entrypoints.settings import Authentication, Settings


def accepted_credentials(settings: Settings, keys: StoredKeys) -> Sequence[Credentials] | None:
    """Return the kinds of credentials that are accepted, None where nobody is asked."""
    if Authentication.NONE in settings.api_auth:
        return None
    return tuple(_accepted(settings, keys))


def _accepted(settings: Settings, keys: StoredKeys) -> Iterator[Credentials]:
    if Authentication.API_KEY in settings.api_auth:
        if settings.api_bootstrap_key:
            yield BootstrapKey(digest_of(settings.api_bootstrap_key))
        yield keys
