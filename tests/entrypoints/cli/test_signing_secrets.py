"""``webhooks signing-secrets`` against a fake API."""

import json
from pathlib import Path

from notification_entrypoints.cli import main
from tests.entrypoints.cli.test_webhooks import ID, ONE
from tests.entrypoints.fake_api import FakeApi
from tests.support.output import Output

SECRET_ID = "019ab6f0-4400-7c21-8d2f-1a2b3c4d5e6f"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MADE = {"secret_id": SECRET_ID, "created_at": "2026-11-25T09:00:00Z"}
PATH = f"{ONE}/signing-secrets"


def test_only_a_new_secret_goes_to_standard_output(api: FakeApi, capsys: Output) -> None:
    api.responds("POST", PATH, (201, MADE | {"secret": SECRET}))
    assert main(["webhooks", "signing-secrets", "create", ID]) == 0
    told = capsys.readouterr()
    assert told.out == f"{SECRET}\n"
    assert SECRET_ID in told.err
    assert json.loads(api.bodies()[0]) == {}


def test_a_secret_is_taken_from_a_file(api: FakeApi, tmp_path: Path) -> None:
    api.responds("POST", PATH, (201, MADE | {"secret": SECRET}))
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert main(["webhooks", "signing-secrets", "create", ID, "--secret-file", str(file)]) == 0
    assert json.loads(api.bodies()[0]) == {"secret": SECRET}


def test_secrets_are_listed(api: FakeApi, capsys: Output) -> None:
    api.responds("GET", PATH, (200, [MADE]), (200, []))
    for expected in (SECRET_ID, "the environment's keys alone"):
        assert main(["webhooks", "signing-secrets", "list", ID]) == 0
        assert expected in " ".join(capsys.readouterr().out.split())


def test_a_secret_is_revoked(api: FakeApi, capsys: Output) -> None:
    api.responds("DELETE", f"{PATH}/{SECRET_ID}", (204, None))
    assert main(["webhooks", "signing-secrets", "revoke", ID, SECRET_ID, "--yes"]) == 0
    assert "is revoked" in capsys.readouterr().out
