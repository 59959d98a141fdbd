"""How the API's JSON is made of the core's values, and drafts of the API's JSON."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest

from notification_adapters.converters import ApiConverter, ShownWebhook, environment_settings
from notification_core.model.delivery import (
    Attempt,
    AttemptError,
    AttemptOutcome,
    ErrorCode,
    ReceivedResponse,
    SentRequest,
)
from notification_core.model.phases import REUSED, Phases
from notification_core.model.read_models import Activity, WebhookView
from notification_core.model.signing_key import KeyStatus, TrustedKey, new_signing_key
from notification_core.model.webhook import FOREVER, DisabledReason, Method, Webhook
from notification_core.signing.signatures import SignatureHeaders
from notification_core.webhooks.webhooks import WebhookDraft
from tests.support.samples import EVENT_TYPES

CONVERTER = ApiConverter(ZoneInfo("Europe/Berlin"))
ID = UUID("0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEADERS = SignatureHeaders("X-Sig", "X-Sig-Time")


def dumped(value: object) -> Any:
    return json.loads(CONVERTER.dump(value))


def webhook(**fields: Any) -> Webhook:
    return Webhook(
        **{
            "webhook_id": ID,
            "environment_id": ID,
            "name": "n",
            "url": "https://example.com/",
            "events": frozenset({"job-created", "job-completed"}),
            "created_at": NOON,
            "updated_at": NOON + timedelta(microseconds=1500),
            **fields,
        }
    )


class TestWebhooks:
    def test_only_what_there_is_is_written(self) -> None:
        assert dumped(webhook()) == {
            "webhook_id": str(ID),
            "environment_id": str(ID),
            "name": "n",
            "url": "https://example.com/",
            "events": ["job-completed", "job-created"],
            "created_at": "2026-01-02T12:00:00Z",
            "updated_at": "2026-01-02T12:00:00.001500Z",
            "method": "post",
        }

    def test_all_that_there_is_is_written_but_not_what_is_ours(self) -> None:
        full = webhook(
            method=Method.PATCH,
            description="",
            disabled_until=FOREVER,
            disabled_reason=DisabledReason.GONE,
            disabled_at=NOON,
            custom_headers={"X-Plain": "p"},
            version=7,
            deleted_at=NOON,
        )
        assert (
            dumped(full).items()
            >= {
                "method": "patch",
                "description": "",
                "disabled_until": "9999-12-31T23:59:59Z",
                "disabled_reason": "gone",
                "custom_headers": {"X-Plain": "***"},
            }.items()
        )
        assert not dumped(full).keys() & {"disabled_at", "version", "deleted_at"}

    @pytest.mark.parametrize(
        "name",
        [
            "Authorization",
            "cookie",
            "X-Auth-Token",
            "Client-Secret",
            "X-Password",
            "apikey",
            "X-Api-Key",
            "Credentials",
        ],
    )
    def test_no_secret_value_is_written(self, name: str) -> None:
        secret = webhook(custom_headers={name: "hunter2"})
        for shown in (secret, ShownWebhook(WebhookView(secret, Activity()), to_writer=True)):
            assert dumped([shown])[0]["custom_headers"] == {name: "***"}

    def test_only_a_writer_sees_the_other_values(self) -> None:
        plain = webhook(custom_headers={"X-Plain": "p"})
        for to_writer, value in ((False, "***"), (True, "p")):
            shown = dumped(ShownWebhook(WebhookView(plain, Activity()), to_writer=to_writer))
            assert shown["custom_headers"] == {"X-Plain": value}


class TestDrafts:
    def test_a_small_one_has_the_defaults(self) -> None:
        fields = {"name": "n", "url": "u", "events": ["job-created"]}
        assert CONVERTER.draft(fields) == WebhookDraft("n", "u", ("job-created",))

    def test_a_full_one_has_everything_and_nothing_that_is_read_only(self) -> None:
        fields = {
            "name": "n",
            "url": "u",
            "events": ["job-created", "job-created"],
            "method": "delete",
            "description": "d",
            "disabled_until": "2026-01-02T13:00:00+01:00",
            "custom_headers": {"A": "b"},
            "webhook_id": 3,
            "last_errored": {},
        }
        assert CONVERTER.draft(fields) == WebhookDraft(
            name="n",
            url="u",
            events=("job-created", "job-created"),
            method=Method.DELETE,
            description="d",
            disabled_until=NOON,
            custom_headers={"A": "b"},
        )

    def test_a_time_without_an_offset_is_read_in_the_zone(self) -> None:
        fields = {"name": "", "url": "", "events": [], "disabled_until": "2026-01-02T13:00:00"}
        assert CONVERTER.draft(fields).disabled_until == NOON


class TestLogs:
    def test_an_attempt_is_written_in_the_words_of_the_api(self) -> None:
        attempt = Attempt(
            log_id=ID,
            environment_id=ID,
            webhook_id=ID,
            delivery_id=ID,
            event_id="e",
            event_type="job-created",
            number=2,
            outcome=AttemptOutcome.FAILED,
            started_at=NOON,
            error=AttemptError(ErrorCode.HTTP_STATUS, "The receiver responded with 500."),
            request=SentRequest("post", "https://example.com/", (("A", "1"), ("B", "2"))),
            response=ReceivedResponse(500, (("A", "1"), ("a", "2")), b"\xc3\xa9\xff"),
            duration=timedelta(microseconds=1234),
            next_attempt_at=NOON,
        )
        assert dumped(attempt) == {
            "log_id": str(ID),
            "webhook_id": str(ID),
            "delivery_id": str(ID),
            "event_id": "e",
            "event": "job-created",
            "attempt": 2,
            "outcome": "failed",
            "started_at": "2026-01-02T12:00:00Z",
            "error": {"code": "http_status", "message": "The receiver responded with 500."},
            "request": {
                "method": "post",
                "url": "https://example.com/",
                "headers": {"A": "1", "B": "2"},
            },
            "response": {
                "http_code": 500,
                "headers": {"A": "1, 2"},
                "body": "é\ufffd",
                "truncated": False,
            },
            "duration_ms": 1.234,
            "next_attempt_at": "2026-01-02T12:00:00Z",
        }

    @pytest.mark.parametrize(
        ("phases", "shown"),
        [
            (REUSED, {"first_byte": 1.234}),
            (Phases(read=timedelta(milliseconds=1)), {"first_byte": 0.234, "read": 1.0}),
            (
                Phases(dns=timedelta(), connect=timedelta(microseconds=1_200)),
                {"dns": 0.0, "connect": 1.2},
            ),
        ],
    )
    def test_its_phases_are_written_in_milliseconds(
        self, phases: Phases, shown: dict[str, float]
    ) -> None:
        took = timedelta(microseconds=1234)
        response = ReceivedResponse(200, (), b"", phases=phases)
        done = AttemptOutcome.SUCCEEDED
        attempt = Attempt(ID, ID, ID, ID, "e", "job-created", 1, done, NOON, duration=took)
        written = dumped(attrs.evolve(attempt, response=response, phases=phases))
        assert written["phases_ms"] == shown
        assert "phases" not in written | written["response"]

    def test_an_interrupted_one_has_nothing_that_nobody_knows(self) -> None:
        attempt = Attempt(
            ID,
            ID,
            ID,
            ID,
            "e",
            "job-created",
            1,
            AttemptOutcome.INTERRUPTED,
            NOON,
            AttemptError(ErrorCode.INTERRUPTED, "The process was killed."),
        )
        assert not dumped(attempt).keys() & {"request", "response", "duration_ms", "phases_ms"}


class TestSettings:
    def test_the_first_key_is_the_public_one_and_all_are_listed(self) -> None:
        keys = [key(1), key(2, KeyStatus.RETIRING, expires_at=NOON)]
        written = dumped(environment_settings(keys, HEADERS))
        first, second = written["verification_keys"]
        assert written["public_verification_key"] == first
        assert (first["status"], second["status"]) == ("active", "retiring")
        assert "expires_at" not in first
        assert second["expires_at"] == "2026-01-02T12:00:00Z"
        assert first["jwk"]["kid"] == first["id"] != second["id"]

    def test_the_secret_half_stays_here(self) -> None:
        written = json.dumps(dumped(environment_settings([key(7)], HEADERS)))
        assert key(7).key.seed.hex() not in written
        assert "seed" not in written
        assert "private" not in written


def key(seed: int, status: KeyStatus = KeyStatus.ACTIVE, **fields: Any) -> TrustedKey:
    made = new_signing_key(ID, NOON, bytes([seed]) * 32)
    return TrustedKey(attrs.evolve(made, **fields), status)


def test_the_catalogue_is_written_whole() -> None:
    written = dumped(list(EVENT_TYPES.values()))
    assert [each["name"] for each in written] == list(EVENT_TYPES)
    assert written[0].keys() == {"name", "description", "schema", "example"}
    assert written[0]["schema"] == dict(EVENT_TYPES["pipeline-created"].schema)
