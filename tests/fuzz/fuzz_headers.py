"""Whatever header a customer asks for: it is refused, or goes out as one line of its own."""

import sys

import atheris

with atheris.instrument_imports():
    from notification_adapters.http.native.sender import head_of, target_of
    from notification_core.model.custom_headers import check_custom_headers, masked
    from notification_core.model.destinations import DestinationPolicy, check_url
    from notification_core.model.webhook import Method
    from notification_core.ports.sender import HttpRequest

TARGET = target_of(check_url("https://receiver.example/hook", DestinationPolicy()))
URL = "https://receiver.example/hook"


def one_input(drawn: bytes) -> None:
    """Ask for a header, and send it where it is taken."""
    given = atheris.FuzzedDataProvider(drawn)
    name = given.ConsumeUnicode(given.ConsumeIntInRange(0, 140))
    value = given.ConsumeUnicode(given.ConsumeIntInRange(0, 4100))
    if check_custom_headers({name: value}, ("X-Signature",)):
        return
    masked({name: value})
    head = head_of(HttpRequest(Method.POST, URL, ((name, value),), b""), TARGET)
    lines = head.decode("ascii").split("\r\n")
    assert lines.count(f"{name}: {value}") == 1
    assert len(lines) <= 8
    assert lines[-2:] == ["", ""]


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
