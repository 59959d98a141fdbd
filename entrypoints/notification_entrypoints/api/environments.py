"""The operations on what an environment's receivers must know."""

from aiohttp import web
from attrs import frozen

from notification_adapters.converters import ApiConverter, environment_settings
from notification_core.environments import Environments
from notification_core.keyring import Keyring
from notification_core.signing import SignatureHeaders
from notification_entrypoints.api.answers import json_answer
from notification_entrypoints.api.calls import Call


@frozen
class EnvironmentOperations:
    """Publishes the verification keys."""

    keyring: Keyring
    environments: Environments
    signature_headers: SignatureHeaders
    converter: ApiConverter

    async def settings(self, call: Call) -> web.Response:
        """Answer with the settings of an environment; its first key is made where it has none."""
        environment_id = call.parameters.id("environment_id")
        if not (keys := await self.keyring.known(environment_id)):
            await self.environments.require(environment_id)
            keys = await self.keyring.keys(environment_id)
        settings = environment_settings(keys, self.signature_headers)
        return json_answer(self.converter.dump(settings))
