"""What every signer promises: the one signature that RFC 8032 allows."""

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_adapters.signers.libsodium import SodiumSigner
from notification_core.model.signing_key import new_signing_key
from notification_core.ports.signer import Signer
from notification_core.signing.signatures import CryptographySigner, SignatureHeaders, sign
from tests.support.samples import ENVIRONMENT, NOW

SIGNERS = [CryptographySigner(), SodiumSigner()]

# RFC 8032, section 7.1, tests 1 to 3: seed, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.fixture(params=SIGNERS, ids=lambda signer: type(signer).__name__)
def signer(request: pytest.FixtureRequest) -> Signer:
    made: Signer = request.param
    return made


@pytest.mark.parametrize(("seed", "message", "signature"), RFC_8032)
def test_the_rfcs_messages_get_the_rfcs_signatures(
    signer: Signer, seed: str, message: str, signature: str
) -> None:
    key = new_signing_key(ENVIRONMENT, NOW, bytes.fromhex(seed))
    assert signer.sign(key, bytes.fromhex(message)).hex() == signature


@example(seed=b"k" * 32, content=b"x" * 20_000)
@given(seed=st.binary(min_size=32, max_size=32), content=st.binary(max_size=5_000))
def test_all_signers_agree(seed: bytes, content: bytes) -> None:
    key = new_signing_key(UUID(int=0), NOW, seed)
    assert len({signer.sign(key, content) for signer in SIGNERS}) == 1


def test_headers_are_the_same_whoever_signs(signer: Signer) -> None:
    key = new_signing_key(ENVIRONMENT, NOW, b"k" * 32)
    headers = SignatureHeaders("X-Signature", "X-Signature-Timestamp")
    made = sign(headers, [key], "msg_1", 1_700_000_000, b"{}", signer)
    assert made == sign(headers, [key], "msg_1", 1_700_000_000, b"{}")
