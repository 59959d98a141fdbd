"""The operation that publishes an environment's verification keys as a JSON Web Key Set."""

import hashlib

import msgspec
from aiohttp import ETag, hdrs, web
from attrs import frozen

from notification_core.model.signing_key import public_forms
from notification_core.signing.rotation import SigningKeyService
from notification_entrypoints.api.endpoint import ApiCall
from notification_entrypoints.api.responses import json_answer

_NOT_MODIFIED = 304
# A new key is published an hour before it signs: caches of five minutes have it by then.
_CACHEABLE = "public, max-age=300"


@frozen
class JwksOperations:
    """Publishes the keys to trust, for whoever asks and for caches in between."""

    keys: SigningKeyService

    async def jwks(self, call: ApiCall) -> web.Response:
        """Answer with the keys, or with 304 where the caller has them already.

        Whoever asks is not asked who they are, so nothing is made: an environment without keys
        has an empty set, until its first key is made for somebody who may have it.
        """
        trusted = await self.keys.known(call.environment_id)
        keys = [public_forms(each.key.public_key).jwk for each in trusted]
        body = msgspec.json.encode({"keys": keys})
        tag = ETag(hashlib.sha256(body).hexdigest()[:32])
        known = call.request.if_none_match or ()
        if any(each.value in {tag.value, "*"} for each in known):
            response = web.Response(status=_NOT_MODIFIED)
        else:
            response = json_answer(body)
        response.etag = tag
        response.headers[hdrs.CACHE_CONTROL] = _CACHEABLE if keys else "no-store"
        return response
