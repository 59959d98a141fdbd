"""Two environments, of which a stranger wants to know the first, and every request."""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from attrs import evolve, frozen

from notification_adapters.clock import SystemClock
from notification_adapters.memory.credentials import MemoryCredentials
from notification_core.access.api_keys import ApiKeyDraft, ApiKeyService
from notification_core.access.authentication import BootstrapKey, StoredKeys
from notification_core.model.api_key import api_key_id_in, hash_api_key
from notification_core.model.caller import Caller, Scope
from notification_core.ports.credentials import CredentialScheme
from notification_entrypoints.api.security.authentication import Callers
from tests.entrypoints.api_examples import ENVIRONMENT, EVENT, create, publish
from tests.entrypoints.api_services import Backstage, backstage, log_success, on_sqlite
from tests.entrypoints.checked_api import (
    DOCUMENT,
    ApiResponse,
    CheckedClient,
    Node,
    called,
    operations,
    resolved,
)
from tests.support.dead_letters import a_dead_letter, an_event_by_now, bury

BOOTSTRAP = "bootstrap-" + "b" * 32
EVENT_ID = "told-to-nobody-else"
DRAFT = ApiKeyDraft("A key", Scope.ADMIN, None)


@frozen
class Operation:
    """An operation of the document, with all that a request of it takes."""

    name: str
    method: str
    path: str
    node: Node

    @property
    def scope(self) -> Scope | None:
        """The scope that it needs, None where it is public."""
        match self.node["security"]:
            case []:
                return None
            case [{"bearer": [scope]}]:
                return Scope(scope)
            case other:
                raise AssertionError(other)

    @property
    def environments(self) -> str | None:
        """What it says of environments beside its path."""
        return cast("str | None", self.node.get("x-environments"))

    @property
    def body(self) -> object:
        """The first example of its body, None where it takes none."""
        content = self.node.get("requestBody", {}).get("content", {})
        for example in content.get("application/json", {}).get("examples", {}).values():
            return resolved(example)["value"]
        return None


OPERATIONS = [
    Operation(name, method, path, DOCUMENT["paths"][path][method.lower()])
    for name, (method, path) in operations().items()
]


@frozen
class Guarded:
    """An API with authentication, with something of everything in the first environment."""

    stage: Backstage
    api: CheckedClient
    issuing: ApiKeyService
    ids: Mapping[str, str]
    database: Path

    async def key(self, **draft: Any) -> str:
        """Issue a key: an administrator's of all environments, or as the draft says."""
        return (await self.issuing.create(evolve(DRAFT, **draft))).secret_text

    async def revoked_key(self) -> str:
        """Issue a key and revoke it."""
        text = await self.key()
        await self.issuing.revoke(UUID(api_key_id_in(text)))
        return text

    async def call(self, operation: Operation, credential: str | None, **ids: str) -> ApiResponse:
        """Call an operation on the things of the first environment, or on those of ``ids``."""
        headers = {} if credential is None else {"Authorization": credential}
        path = operation.path
        for name, value in {**self.ids, **ids}.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"The walk has nothing to put into {path}."
        body = {} if operation.body is None else {"json": operation.body}
        return await self.api.call(operation.method, path, headers=headers, **body)

    def everything(self) -> Sequence[str]:
        """Return all that is stored, row by row."""
        with closing(sqlite3.connect(self.database)) as connection:
            return list(connection.iterdump())


@asynccontextmanager
async def guarded(
    folder: Path, *kinds: CredentialScheme, failures_at_once: int = 10**6, debug: bool = False
) -> AsyncIterator[Guarded]:
    """Serve an API that takes keys, the bootstrap key and these ``kinds`` of credentials."""
    async with backstage(on_sqlite(folder)) as stage:
        clock = SystemClock()
        keys = StoredKeys(stage.storage.api_keys, clock)
        issuing = ApiKeyService(
            stage.storage.api_keys,
            clock,
            stage.application.ids,
            lambda: stage.application.ids().bytes * 2,
            keys.invalidate,
        )
        credentials = (BootstrapKey(hash_api_key(BOOTSTRAP)), keys, *kinds)
        callers = Callers(credentials, clock, failures_at_once=failures_at_once)
        async with called(stage.application) as open_api:
            made = await _furnished(stage, open_api)
        application = stage.but(
            credentials=credentials, api_keys=issuing, settings={"debug": debug}
        )
        async with called(application, callers) as api:
            yield Guarded(stage, api, issuing, made, folder / "api.sqlite")


def scopeless() -> MemoryCredentials:
    """Return the credentials of somebody who is known and may do nothing."""
    return MemoryCredentials({"scopeless": Caller("somebody", None)})


def expiring(after: timedelta) -> Mapping[str, Any]:
    """Return what makes a key that expires so soon."""
    return {"expires_at": SystemClock().now() + after}


def bearer(credential: str) -> str:
    """Return the header that carries a credential."""
    return f"Bearer {credential}"


async def _furnished(stage: Backstage, api: CheckedClient) -> Mapping[str, str]:
    """Make something of everything that a path can name, in the first environment."""
    await api.delete(f"/environments/{ENVIRONMENT}")
    assert (await stage.storage.erasures.advance(UUID(ENVIRONMENT), 1)).is_last
    webhook = await create(api)
    await api.get(f"/environments/{ENVIRONMENT}/settings")
    await publish(api, {**EVENT, "event_id": EVENT_ID})
    attempt = await log_success(stage)
    replays = f"/webhooks/{webhook['webhook_id']}/replays"
    replay = (await api.post(replays, {"since": "2020-01-01T00:00:00Z"})).json
    secret = (await api.post(f"/webhooks/{webhook['webhook_id']}/signing-secrets", {})).json
    issued = await stage.application.api_keys.create(DRAFT)
    portal = await api.post(f"/environments/{ENVIRONMENT}/portal-sessions", {"scope": "read"})
    (letter_id,) = await bury(stage.storage, a_dead_letter(an_event_by_now(ENVIRONMENT)))
    return {
        "environment_id": ENVIRONMENT,
        "webhook_id": webhook["webhook_id"],
        "delivery_id": str(attempt.delivery_id),
        "event_id": EVENT_ID,
        "replay_id": replay["replay_id"],
        "secret_id": secret["secret_id"],
        "key_id": str(issued.key.key_id),
        "session_id": portal.json["session_id"],
        "letter_id": str(letter_id),
    }
