"""``keys``: what it asks of the API, what it shows, and what it never does."""

import json
from datetime import UTC, datetime, timedelta

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
ID = "019ab5c0-1f3e-7a44-8d21-5c9e0a7b6d31"
KEY = {
    "key_id": ID,
    "name": "Publisher",
    "scope": "write",
    "environments": [ENVIRONMENT],
    "state": "active",
    "created_at": "2026-11-25T09:00:00Z",
    "expires_at": "2027-06-30T00:00:00Z",
}
TEXT = "whk_019ab5c01f3e7a448d215c9e0a7b6d31_0000thisIsAnExampleAndOpensNothing000000000"
CREATE = ["keys", "create", "--name", "Publisher", "--scope", "write"]


def test_a_new_key_is_all_that_goes_to_standard_output(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", "/keys", (201, {**KEY, "key": TEXT}))
    chosen = [*CREATE, "--environment", ENVIRONMENT, "--expires", "2127-06-30T00:00:00Z"]
    assert main(chosen) == 0
    said = capsys.readouterr()
    assert said.out == f"{TEXT}\n"
    assert ID in said.err
    assert json.loads(api.bodies()[0]) == {
        "name": "Publisher",
        "scope": "write",
        "environments": [ENVIRONMENT],
        "expires_at": "2127-06-30T00:00:00Z",
    }


def test_all_environments_are_said_and_never_meant_by_silence(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", "/keys", (201, {**KEY, "key": TEXT}))
    for unclear in (CREATE, [*CREATE, "--all-environments", "--environment", ENVIRONMENT]):
        assert main(unclear) == Exit.USAGE
    assert not api.requests
    assert main([*CREATE, "--all-environments", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key"] == TEXT
    assert json.loads(api.bodies()[0])["environments"] == "all"


def test_a_key_does_not_end_in_the_past(api: FakeApi) -> None:
    chosen = [*CREATE, "--all-environments", "--expires", "2020-01-01T00:00:00Z"]
    assert main(chosen) == Exit.USAGE
    assert not api.requests


def test_an_expiry_may_be_how_long_from_now(api: FakeApi) -> None:
    api.responds("POST", "/keys", (201, {**KEY, "key": TEXT}))
    before = datetime.now(UTC)
    assert main([*CREATE, "--all-environments", "--expires", "720h"]) == 0
    expiry = datetime.fromisoformat(json.loads(api.bodies()[0])["expires_at"])
    assert timedelta(hours=720) <= expiry - before < timedelta(hours=721)


def test_the_list_goes_on_to_its_end(api: FakeApi, capsys: Output) -> None:
    other = {**KEY, "key_id": ID[:-1] + "2", "name": "Anna", "environments": "all"}
    link = {"Link": '</api/keys?cursor=x&limit=100>; rel="next"'}
    api.responds("GET", "/keys", (200, [KEY], link), (200, [other]), (200, [KEY], link))
    assert main(["keys", "list"]) == 0
    said = capsys.readouterr().out
    for shown in (ID, ENVIRONMENT, "Publisher", "Anna", "all", "active", "2027-06-30"):
        assert shown in said
    api.responds("GET", "/keys", (200, [KEY]))
    assert main(["keys", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == KEY


def test_a_key_is_revoked_only_by_one_who_means_it(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", f"/keys/{ID}", (204, None))
    assert main(["keys", "revoke", ID]) == Exit.USAGE
    assert not api.requests
    assert main(["keys", "revoke", ID, "--yes"]) == 0
    assert f"Key {ID} is revoked." in capsys.readouterr().out
    assert main(["keys", "revoke", ID, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revoked": ID}


def test_a_key_itself_is_not_taken_on_the_command_line(api: FakeApi) -> None:
    assert main(["keys", "revoke", TEXT, "--yes"]) == Exit.USAGE
    assert not api.requests
