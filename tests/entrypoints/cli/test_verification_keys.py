"""``verification-keys rotate``: what it asks of the API, what it shows, and what it asks before."""

import json

from notification_entrypoints.cli import main
from notification_entrypoints.commands.exit_codes import Exit
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

ENVIRONMENT = "0b6f2e0c-5d0c-4d7e-8a57-2f7a3f0f6f10"
PATH = f"/environments/{ENVIRONMENT}/settings/verification-keys"
ROTATE = ["verification-keys", "rotate", "--environment", ENVIRONMENT]
KEY = {
    "id": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "status": "pending",
    "whpk": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "not_before": "2026-12-01T09:00:00Z",
}


def test_a_rotation_shows_the_new_key_and_from_when_on_it_signs(
    api: FakeApi, capsys: Output
) -> None:
    api.responds("POST", PATH, (201, KEY))
    assert main(ROTATE) == 0
    said = capsys.readouterr().out
    assert all(KEY[name] in said for name in ("id", "status", "whpk"))
    assert "2026-12-01 09:00:00.000 UTC" in said
    assert json.loads(api.bodies()[0]) == {"emergency": False}
    assert main([*ROTATE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == KEY


def test_an_emergency_is_declared_only_by_one_who_says_so(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (201, KEY | {"status": "active"}))
    assert main([*ROTATE, "--emergency"]) == Exit.USAGE
    assert "--yes" in capsys.readouterr().err
    assert not api.requests
    assert main([*ROTATE, "--emergency", "--yes"]) == 0
    assert json.loads(api.bodies()[0]) == {"emergency": True}


def test_a_rotation_that_comes_too_soon_says_when_to_come_again(
    api: FakeApi, capsys: Output
) -> None:
    api.responds("POST", PATH, (409, {"message": "A new key is published already."}))
    assert main(ROTATE) == Exit.REFUSED
    assert capsys.readouterr().err == "Error: A new key is published already.\n"
