"""``settings``: the public keys that an environment's requests are signed with."""

from uuid import UUID

import click
import msgspec

from notification_entrypoints.cli.client import Api, api_option, ask
from notification_entrypoints.cli.ids import environment_option
from notification_entrypoints.cli.options import examples
from notification_entrypoints.cli.terminal import list_option, print_raw_json, run, show_table

_FORMS = ("hex", "base64", "pem", "whpk")


class _Key(msgspec.Struct):
    id: str
    status: str
    hex: str
    base64: str
    pem: str
    whpk: str
    expires_at: str | None = None

    def in_form(self, form: str) -> str:
        """Return the key as one of the forms that libraries ask for."""
        return {"hex": self.hex, "base64": self.base64, "pem": self.pem, "whpk": self.whpk}[form]


class _Settings(msgspec.Struct):
    public_verification_key: _Key
    verification_keys: list[_Key]


@click.command(
    "settings",
    epilog=examples(
        "settings --environment ID",
        "settings --environment ID --key pem > key.pem",
    ),
)
@environment_option("Whose keys")
@click.option(
    "--key", "form", type=click.Choice(_FORMS), help="Print only the key that signs now, like this."
)
@list_option
@api_option
def command(environment: UUID, form: str | None, api: Api, *, as_json: bool) -> None:
    """Show the public keys that an environment's requests are signed with.

    A receiver trusts all of them; the active one signs now.
    """
    if form and as_json:
        raise click.UsageError("Give either --key or --json.")
    response = run(ask(api, "GET", f"/environments/{environment}/settings"))
    if as_json:
        print_raw_json(response)
        return
    settings = msgspec.json.decode(response, type=_Settings)
    if form:
        click.echo(settings.public_verification_key.in_form(form).rstrip("\n"))
        return
    rows = [(key.id, key.status, key.whpk, key.expires_at) for key in settings.verification_keys]
    show_table(("id", "status", "whpk", "expires_at"), rows, "There are no keys.")
