"""What signs in a running process."""

import time

from structlog.testing import capture_logs

from notification_adapters.signers.libsodium import SodiumSigner
from notification_core.model.signing_key import SigningKey
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import CryptographySigner
from notification_entrypoints.bootstrap.signer import fastest, fastest_signer


class WrongSigner(Signer):
    def sign(self, key: SigningKey, content: bytes) -> bytes:
        return (key.public_key + content)[:64]


class SlowSigner(CryptographySigner):
    def sign(self, key: SigningKey, content: bytes) -> bytes:
        time.sleep(0.002)
        return super().sign(key, content)


def test_what_signs_is_installed_and_agrees_with_the_core() -> None:
    assert isinstance(fastest_signer(), SodiumSigner | CryptographySigner)


def test_the_fastest_signs_wherever_it_stands() -> None:
    quick, slow = CryptographySigner(), SlowSigner()
    assert fastest([quick, slow]) is quick
    assert fastest([slow, quick]) is quick


def test_a_signer_that_signs_wrongly_is_left_out_and_told_of() -> None:
    with capture_logs() as logs:
        assert isinstance(fastest([CryptographySigner(), WrongSigner()]), CryptographySigner)
    assert [(line["log_level"], line["signer"]) for line in logs] == [("error", "WrongSigner")]
