"""The operations on what an environment's receivers must know."""

from typing import cast

from aiohttp import hdrs, web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter, environment_settings, verification_key
from notification_core.environments.erasures import ErasureService
from notification_core.model.signing_key import TrustedKey
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signing import SignatureHeaders
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.idempotency import Idempotency
from notification_entrypoints.api.responses import ACCEPTED, CREATED, json_answer
from notification_entrypoints.api.security.origin_policy import Surroundings


@frozen
class EnvironmentOperations:
    """Publishes and rotates the verification keys; erases environments."""

    keys: SigningKeyService
    erasures: ErasureService
    idempotency: Idempotency
    auditing: AuditTrail
    signature_headers: SignatureHeaders
    converter: ApiConverter
    surroundings: Surroundings

    async def settings(self, call: ApiCall) -> web.Response:
        """Answer with the settings of an environment.

        If it has no key yet, its first one is made, unless a page of another site asks.
        """
        keys = await self.keys.known(call.environment_id)
        if not keys:
            self.surroundings.refuse_foreign_pages(call.request)
            keys = await self.keys.published(
                call.environment_id, lambda made: [self.auditing.entry(call, made.key_id)]
            )
        settings = environment_settings(keys, self.signature_headers)
        return json_answer(self.converter.dump(settings))

    async def rotate(self, call: ApiCall) -> web.Response:
        """Give an environment a new key, and answer with it."""
        environment_id = call.environment_id
        emergency = cast("bool", call.fields.get("emergency", False))

        def rotated(key: TrustedKey) -> web.Response:
            published = verification_key(key, self.signature_headers)
            response = json_answer(self.converter.dump(published), CREATED)
            settings = call.request.app.router["getSettings"]
            where = settings.url_for(environment_id=str(environment_id))
            response.headers[hdrs.LOCATION] = str(where)
            return response

        return await self.idempotency.once(
            call,
            environment_id,
            lambda keep: self.keys.rotate(environment_id, keep, emergency=emergency),
            rotated,
            lambda made: made.key.key_id,
        )

    async def erase(self, call: ApiCall) -> web.Response:
        """Begin to erase an environment, and answer with how that stands."""
        # Of what is the environment's nothing is left; who had it erased is the installation's.
        entry = evolve(self.auditing.entry(call, call.environment_id), environment_id=None)
        erasure = await self.erasures.begin(call.environment_id, [entry])
        response = json_answer(self.converter.dump(erasure), ACCEPTED)
        route = call.request.app.router["getErasure"]
        where = route.url_for(environment_id=str(call.environment_id))
        response.headers[hdrs.LOCATION] = str(where)
        return response

    async def erasure(self, call: ApiCall) -> web.Response:
        """Answer with how the latest erasure of an environment stands."""
        erasure = await self.erasures.get(call.environment_id)
        return json_answer(self.converter.dump(erasure))
