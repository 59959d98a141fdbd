"""What signs in a running process."""

from structlog.testing import capture_logs

from notification_adapters.signers.libsodium import SodiumSigner
from notification_core.model.signing_key import SigningKey
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import CryptographySigner
from notification_entrypoints.bootstrap.signer import checked, fastest_signer


class WrongSigner(Signer):
    def sign(self, key: SigningKey, content: bytes) -> bytes:
        return (key.public_key + content)[:64]


def test_libsodium_signs_where_it_is_installed() -> None:
    assert isinstance(fastest_signer(), SodiumSigner)


def test_a_signer_that_signs_wrongly_is_left_out_and_told_of() -> None:
    with capture_logs() as logs:
        assert isinstance(checked(WrongSigner()), CryptographySigner)
    assert [(line["log_level"], line["signer"]) for line in logs] == [("error", "WrongSigner")]
