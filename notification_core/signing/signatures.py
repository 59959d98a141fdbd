"""The signature headers of an event: made once a second, however many webhooks it goes to."""

from collections.abc import Sequence

from attrs import frozen

from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.signing_key import SigningKey
from notification_core.ports.signer import Signer
from notification_core.signing.signing import SignatureHeaders, message_id, sign

_MOST_REMEMBERED = 4096


@frozen
class _Signed:
    keys: Sequence[SigningKey]
    headers: tuple[tuple[str, str], ...]


class SignatureCache:
    """Signs events for the attempts of one second after the other.

    A signature says nothing of the webhook, so that all deliveries of an event that begin within
    the same second share theirs.
    """

    def __init__(self, headers: SignatureHeaders, signer: Signer) -> None:
        self._headers = headers
        self._signer = signer
        self._second = 0
        self._signed: dict[tuple[object, str], _Signed] = {}

    def __len__(self) -> int:
        """How many events' signatures are remembered."""
        return len(self._signed)

    def of(
        self, delivery: ClaimedDelivery, keys: Sequence[SigningKey], second: int
    ) -> tuple[tuple[str, str], ...]:
        """Return the signature headers of a delivery's event at a unix second."""
        if second != self._second or len(self._signed) >= _MOST_REMEMBERED:
            self._second, self._signed = second, {}
        event = delivery.event_key
        known = self._signed.get(event)
        # The very same keys: those of an environment are replaced when they are read again.
        if known is None or known.keys is not keys:
            known = self._signed[event] = _Signed(keys, self._sign(delivery, keys, second))
        return known.headers

    def _sign(
        self, delivery: ClaimedDelivery, keys: Sequence[SigningKey], second: int
    ) -> tuple[tuple[str, str], ...]:
        name = message_id(delivery.fence.environment_id, delivery.event_id)
        return sign(self._headers, keys, name, second, delivery.body, self._signer)
