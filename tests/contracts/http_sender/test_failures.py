"""How every HTTP sender fails where what comes is no response."""

import traceback

import pytest

from notification_core.model.delivery import AttemptError, ErrorCode
from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from tests.support.raw_receivers import RawReceiver, closes
from tests.support.receivers import Receiver
from tests.support.sending import (
    ENOUGH,
    failure,
)


async def test_a_connection_that_is_refused_is_a_connect_error_that_names_no_address(
    sender: HttpSender,
) -> None:
    async with Receiver() as receiver:
        await receiver.down()
        error = await failure(sender, receiver.url)
    assert error == AttemptError(ErrorCode.CONNECT, "The connection was refused.")


@pytest.mark.parametrize("response", [b"no HTTP\r\n", b""])
async def test_a_failure_shows_no_header_and_no_body(sender: HttpSender, response: bytes) -> None:
    async with RawReceiver(closes(response)) as receiver:
        headers = (("Authorization", "Bearer s3cret"),)
        request = HttpRequest(Method.POST, receiver.url, headers, b"s3cret")
        with pytest.raises(SendingFailed) as failed:
            await sender.send(request, ENOUGH)
    assert "s3cret" not in "".join(traceback.format_exception(failed.value)) + repr(request)
