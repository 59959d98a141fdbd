"""Signing each event once a second, however many webhooks it goes to."""

from datetime import timedelta
from uuid import UUID

import attrs

from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.signing_key import SigningKey, new_signing_key
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import (
    CryptographySigner,
    SignatureCache,
    SignatureHeaders,
    message_id,
    sign,
)
from tests.support.samples import ENVIRONMENT, NOW, a_delivery, a_webhook

HEADERS = SignatureHeaders("X-Signature", "X-Signature-Timestamp")
KEYS = (new_signing_key(ENVIRONMENT, NOW, b"k" * 32),)
SECOND = int(NOW.timestamp())


class CountingSigner(Signer):
    def __init__(self) -> None:
        self.signed = 0
        self._signer = CryptographySigner()

    def sign(self, key: SigningKey, content: bytes) -> bytes:
        self.signed += 1
        return self._signer.sign(key, content)


def a_delivery_of(event_id: str, environment_id: UUID = ENVIRONMENT) -> ClaimedDelivery:
    delivery = a_delivery(a_webhook(), body=event_id.encode())
    fence = attrs.evolve(delivery.fence, environment_id=environment_id)
    return attrs.evolve(delivery, event_id=event_id, fence=fence)


def expected(delivery: ClaimedDelivery, keys: tuple[SigningKey, ...], second: int) -> object:
    name = message_id(delivery.fence.environment_id, delivery.event_id)
    return sign(HEADERS, keys, name, second, delivery.body)


def test_all_webhooks_of_an_event_share_the_signatures_of_a_second() -> None:
    signer = CountingSigner()
    signatures = SignatureCache(HEADERS, signer)
    shared = [signatures.headers_for(a_delivery_of("one"), KEYS, SECOND) for _ in range(100)]
    assert set(shared) == {expected(a_delivery_of("one"), KEYS, SECOND)}
    assert signer.signed == 2  # one for each scheme


def test_each_event_second_and_set_of_keys_has_signatures_of_its_own() -> None:
    signatures = SignatureCache(HEADERS, CryptographySigner())
    other_environment = UUID(int=1)
    rotated = (new_signing_key(ENVIRONMENT, NOW + timedelta(days=1), b"r" * 32),)
    for delivery, keys, second in (
        (a_delivery_of("one"), KEYS, SECOND),
        (a_delivery_of("two"), KEYS, SECOND),
        (a_delivery_of("one", other_environment), KEYS, SECOND),
        (a_delivery_of("one"), rotated, SECOND),
        (a_delivery_of("one"), rotated, SECOND + 1),
        (a_delivery_of("one"), KEYS, SECOND),
    ):
        assert signatures.headers_for(delivery, keys, second) == expected(delivery, keys, second)


def test_what_is_remembered_within_a_second_is_bounded() -> None:
    signer = CountingSigner()
    signatures = SignatureCache(HEADERS, signer)
    for number in range(5_000):
        signatures.headers_for(a_delivery_of(str(number)), KEYS, SECOND)
    assert len(signatures) < 4_500
