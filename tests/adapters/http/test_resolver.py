"""The DNS resolver of the senders: its queries, and how it reads the responses."""

from socket import gethostname

import pytest

from notification_adapters.http.resolver import Dns, LookupFailed, NameNotFound
from tests.support.name_server import AAAA, NO_ERROR, NO_SUCH_NAME, SERVER_FAILURE, A, name_server


async def test_both_families_of_a_name_are_asked_for_and_nothing_is_appended_to_it() -> None:
    async with name_server("192.0.2.1", "192.0.2.2", "2001:db8::1") as server:
        names = Dns([server.address])
        addresses = await names.addresses("receiver.example.")
        await names.close()
    assert set(addresses) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert set(server.asked) == {("receiver.example", A), ("receiver.example", AAAA)}


async def test_the_hosts_file_does_not_count() -> None:
    async with name_server("192.0.2.1") as server:
        names = Dns([server.address])
        assert await names.addresses(f"{gethostname()}.") == ["192.0.2.1"]
        await names.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [(NO_ERROR, NameNotFound), (NO_SUCH_NAME, NameNotFound), (SERVER_FAILURE, LookupFailed)],
)
async def test_a_look_up_that_fails_says_whether_the_name_is_wrong(
    code: int, error: type[LookupFailed]
) -> None:
    async with name_server(code=code) as server:
        names = Dns([server.address])
        with pytest.raises(LookupFailed) as failed:
            await names.addresses("receiver.example.")
        await names.close()
    assert type(failed.value) is error


async def test_a_resolver_that_was_never_used_can_be_closed() -> None:
    await Dns().close()
