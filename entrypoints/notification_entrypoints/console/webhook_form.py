"""The form of a webhook: its fields as the API has them, as they stand in the form, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import frozen

from notification_core.errors import Detail
from notification_entrypoints.console.forms import Sent, text_of, texts_of
from notification_entrypoints.console.rendering import pretty
from notification_entrypoints.console.webhook_states import Fields

METHODS: Final = ("post", "put", "patch", "get", "delete")
RETRY_FIELDS: Final = ("max_retries", "interval", "backoff", "max_interval")
WHOLE: Final = ("events", "custom_headers", "filter", "method")
"""The fields that the form has one place for."""

_EMPTY_HEADERS: Final = 2
_MAX_HEADERS: Final = 10
_KEPT: Final = ("disabled_until",)
"""What the form does not have: it stays as it is."""


@frozen
class WebhookForm:
    """What stands in the form: text, as whoever fills it in wrote it."""

    name: str = ""
    url: str = ""
    method: str = "post"
    description: str = ""
    events: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    filter: str = ""
    retry: Mapping[str, str] = {}
    timeout: str = ""
    rate_limit: str = ""
    ordered: bool = False

    @classmethod
    def of(cls, webhook: Fields) -> "WebhookForm":
        """Return the form for a webhook that there is."""
        found = webhook.get("filter")
        return cls(
            name=webhook["name"],
            url=webhook["url"],
            method=webhook["method"],
            description=webhook.get("description", ""),
            events=webhook["events"],
            headers=[*webhook.get("custom_headers", {}).items()],
            filter="" if found is None else pretty(found),
            retry={
                name: f"{value:g}" if isinstance(value, float) else str(value)
                for name, value in webhook.get("retry", {}).items()
            },
            timeout=webhook.get("timeout", ""),
            rate_limit=str(webhook.get("rate_limit", "")),
            ordered=webhook.get("ordered", False),
        )

    @classmethod
    def sent(cls, form: Sent) -> "WebhookForm":
        """Return the form as it was sent."""
        names, values = texts_of(form, "header_name"), texts_of(form, "header_value")
        return cls(
            name=text_of(form, "name"),
            url=text_of(form, "url"),
            method=text_of(form, "method") or "post",
            description=text_of(form, "description"),
            events=texts_of(form, "events"),
            headers=[pair for pair in zip(names, values, strict=False) if any(pair)],
            filter=text_of(form, "filter"),
            retry={name: text_of(form, f"retry.{name}") for name in RETRY_FIELDS},
            timeout=text_of(form, "timeout"),
            rate_limit=text_of(form, "rate_limit"),
            ordered=bool(text_of(form, "ordered")),
        )

    @property
    def header_rows(self) -> Sequence[tuple[str, str]]:
        """The custom headers, and some rows for more."""
        rows = [*self.headers, *[("", "")] * _EMPTY_HEADERS]
        return rows[: max(_MAX_HEADERS, len(self.headers))]

    def fields(self, stored: Fields | None = None) -> tuple[dict[str, Any], Sequence[Detail]]:
        """Return the webhook as the API takes it, and what cannot be said to the API at all.

        Fields that are left empty are left out. Of a ``stored`` webhook stays what the form has
        no place for.
        """
        fields: dict[str, Any] = {name: stored[name] for name in _KEPT if stored and name in stored}
        fields |= {
            "name": self.name,
            "url": self.url,
            "method": self.method,
            "events": [*self.events],
        }
        details = []
        if self.description:
            fields["description"] = self.description
        if self.headers:
            fields["custom_headers"] = dict(self.headers)
            if len(fields["custom_headers"]) < len(self.headers):
                details.append(Detail("custom_headers", "A header is there twice. Give it once."))
        if self.filter:
            try:
                fields["filter"] = msgspec.json.decode(self.filter)
            except msgspec.DecodeError as error:
                details.append(Detail("filter", f"This is not JSON: {error}."))
        if retry := {name: _number(text) for name, text in self.retry.items() if text}:
            fields["retry"] = {
                name: str(value) if name.endswith("interval") else value
                for name, value in retry.items()
            }
        if self.timeout:
            fields["timeout"] = self.timeout
        if self.rate_limit:
            fields["rate_limit"] = _number(self.rate_limit)
        if self.ordered:
            fields["ordered"] = True
        return fields, details


def _number(text: str) -> object:
    """Return a number if a text is one; any other is for the API to refuse."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() and "." not in text else value
