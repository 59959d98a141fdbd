"""The operations on environments: the keys that their receivers verify by, and their erasure."""

import hashlib
from collections.abc import Mapping
from typing import cast

import msgspec
from aiohttp import ETag, hdrs, web
from attrs import evolve, frozen

from notification_adapters.converters import ApiConverter, environment_settings, verification_key
from notification_core.environments.erasures import ErasureService
from notification_core.model.signing_key import TrustedKey, public_forms
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import SignatureHeaders
from notification_entrypoints.api.audit_trail import AuditTrail
from notification_entrypoints.api.edge import OriginPolicy
from notification_entrypoints.api.endpoint import (
    ACCEPTED,
    CREATED,
    NOT_MODIFIED,
    ApiCall,
    Handler,
    json_response,
)
from notification_entrypoints.api.http.etags import is_known
from notification_entrypoints.api.idempotency import Idempotency

# A new key is published an hour before it signs: caches of five minutes have it by then.
_CACHEABLE = "public, max-age=300"


@frozen
class EnvironmentOperations:
    """Publishes and rotates the verification keys; erases environments."""

    keys: SigningKeyService
    erasures: ErasureService
    idempotency: Idempotency
    audit_trail: AuditTrail
    signature_headers: SignatureHeaders
    converter: ApiConverter
    origin_policy: OriginPolicy

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What answers these operations, by their ids in the document."""
        return {
            "getJwks": Handler(self.jwks),
            "getSettings": Handler(self.settings),
            "rotateVerificationKey": Handler(self.rotate),
            "eraseEnvironment": Handler(self.erase),
            "getErasure": Handler(self.erasure),
        }

    async def jwks(self, call: ApiCall) -> web.Response:
        """Answer with the keys as a JSON Web Key Set, or with 304 if the caller has them already.

        It is for whoever asks and for caches in between. Whoever asks is not asked who they are,
        so nothing is made: an environment without keys has an empty set, until its first key is
        made for somebody who may have it.
        """
        trusted = await self.keys.find_published(call.environment_id)
        keys = [public_forms(key.key.public_key).jwk for key in trusted]
        body = msgspec.json.encode({"keys": keys})
        tag = ETag(hashlib.sha256(body).hexdigest()[:32])
        if is_known(call.head.headers, tag.value):
            response = web.Response(status=NOT_MODIFIED)
        else:
            response = json_response(body)
        response.etag = tag
        response.headers[hdrs.CACHE_CONTROL] = _CACHEABLE if keys else "no-store"
        return response

    async def settings(self, call: ApiCall) -> web.Response:
        """Answer with the settings of an environment.

        If it has no key yet, its first one is made, unless a page of another site asks.
        """
        keys = await self.keys.find_published(call.environment_id)
        if not keys:
            self.origin_policy.refuse_foreign_pages(call.request)
            keys = await self.keys.published(
                call.environment_id, lambda made: [self.audit_trail.entry_for(call, made.key_id)]
            )
        settings = environment_settings(keys, self.signature_headers)
        return json_response(self.converter.dump(settings))

    async def rotate(self, call: ApiCall) -> web.Response:
        """Give an environment a new key, and answer with it."""
        environment_id = call.environment_id
        emergency = cast("bool", call.fields.get("emergency", False))

        def render(key: TrustedKey) -> web.Response:
            published = verification_key(key, self.signature_headers)
            response = json_response(self.converter.dump(published), CREATED)
            where = call.path_of("getSettings", environment_id=environment_id)
            response.headers[hdrs.LOCATION] = where
            return response

        return await self.idempotency.respond_once(
            call,
            lambda records: self.keys.rotate(environment_id, records, emergency=emergency),
            render,
            lambda made: made.key.key_id,
        )

    async def erase(self, call: ApiCall) -> web.Response:
        """Begin to erase an environment, and answer with how that stands."""
        # Of what is the environment's nothing is left; who had it erased is the installation's.
        entry = evolve(self.audit_trail.entry_for(call, call.environment_id), environment_id=None)
        erasure = await self.erasures.begin(call.environment_id, [entry])
        response = json_response(self.converter.dump(erasure), ACCEPTED)
        where = call.path_of("getErasure", environment_id=call.environment_id)
        response.headers[hdrs.LOCATION] = where
        return response

    async def erasure(self, call: ApiCall) -> web.Response:
        """Answer with how the latest erasure of an environment stands."""
        erasure = await self.erasures.get(call.environment_id)
        return json_response(self.converter.dump(erasure))
