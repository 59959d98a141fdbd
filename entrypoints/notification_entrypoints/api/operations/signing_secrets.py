"""The operations on the signing secrets of webhooks."""

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID

from aiohttp import web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter, shown_signing_secret
from notification_core.errors import Detail, InvalidInput
from notification_core.model.secret_text import parse_signing_secret
from notification_core.model.signing_secret import SigningSecret
from notification_core.webhooks.signing_secrets import SigningSecretService
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import (
    CREATED,
    NO_CONTENT,
    ApiCall,
    Handler,
    json_response,
)
from notification_entrypoints.api.idempotency import Idempotency


@frozen
class SigningSecretOperations:
    """Makes, lists and revokes signing secrets."""

    secrets: SigningSecretService
    idempotency: Idempotency
    audit_trail: AuditTrail
    converter: ApiConverter

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "createSigningSecret": Handler(self.create, validate=_validate),
            "listSigningSecrets": Handler(self.list),
            "revokeSigningSecret": Handler(self.revoke),
        }

    async def create(self, call: ApiCall) -> web.Response:
        """Make a secret and show it: this once, and not when the same request comes again."""
        text = cast("str | None", call.fields.get("secret"))

        def render(made: SigningSecret) -> web.Response:
            shown = evolve(shown_signing_secret(made), secret=made.text)
            return json_response(self.converter.dump(shown), CREATED)

        def render_stored(made: SigningSecret) -> web.Response:
            return json_response(self.converter.dump(shown_signing_secret(made)), CREATED)

        return await self.idempotency.respond_once(
            call,
            lambda records: self.secrets.create(*_addressed(call), text, records),
            render,
            lambda made: made.secret_id,
            render_stored,
        )

    async def list(self, call: ApiCall) -> web.Response:
        """Answer with the live secrets of a webhook, but for what they are."""
        secrets = await self.secrets.list(*_addressed(call))
        return json_response(self.converter.dump([*map(shown_signing_secret, secrets)]))

    async def revoke(self, call: ApiCall) -> web.Response:
        """Revoke a secret."""
        secret_id = call.parameters.id("secret_id")
        records = [self.audit_trail.entry_for(call, secret_id)]
        await self.secrets.revoke(*_addressed(call), secret_id, records)
        return web.Response(status=NO_CONTENT)


def _validate(_: UUID | None, fields: Mapping[str, object]) -> Sequence[Detail]:
    """Say what is wrong with a secret, if one is given."""
    try:
        if "secret" in fields:
            parse_signing_secret(str(fields["secret"]))
    except InvalidInput as refused:
        return refused.details
    return ()


def _addressed(call: ApiCall) -> tuple[UUID, UUID]:
    return call.environment_id, call.parameters.id("webhook_id")
