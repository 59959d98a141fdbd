"""What stands behind the HTTP API: use cases, stores, and what is set of it."""

from collections.abc import Callable
from datetime import tzinfo
from uuid import UUID

from attrs import field, frozen

from notification_core.access.api_keys import ApiKeyService
from notification_core.environments.erasures import ErasureService
from notification_core.ingest.ingest import Ingest
from notification_core.ports.audit import AuditLog
from notification_core.ports.clock import Clock
from notification_core.ports.history import History
from notification_core.ports.idempotency import IdempotencyStore
from notification_core.ports.logs import LogStore
from notification_core.ports.webhooks import WebhookStore
from notification_core.replays.replays import Replays
from notification_core.signing.rotation import SigningKeyService
from notification_core.signing.signatures import SignatureHeaders
from notification_core.webhooks.webhook_tester import WebhookTester
from notification_core.webhooks.webhooks import WebhookService
from notification_entrypoints.api.endpoint import Timeouts
from notification_entrypoints.api.operations.events import IngestMetrics
from notification_entrypoints.api.security.authentication import Callers
from notification_entrypoints.api.security.authorization import OriginPolicy


@frozen
class ApiDependencies:
    """What the API offers over HTTP, and how.

    A date without an offset is taken in ``zone``. ``cursor_key`` seals the cursors of pages: it is
    the same in every process, so that one takes what another gave. ``requests`` is told the route
    and the status of every answer. The bodies of unfinished requests have at most ``max_buffered``
    bytes together. With ``debug`` errors tell
    administrators their cause.
    """

    subscriptions: WebhookService
    ingest: Ingest
    verification_keys: SigningKeyService
    webhooks: WebhookStore
    logs: LogStore
    history: History
    replays: Replays
    trials: WebhookTester
    erasures: ErasureService
    idempotency: IdempotencyStore
    issuing: ApiKeyService
    audit: AuditLog
    callers: Callers
    origin_policy: OriginPolicy
    clock: Clock
    ids: Callable[[], UUID]
    signature_headers: SignatureHeaders
    zone: tzinfo
    cursor_key: bytes = field(repr=False)
    timeouts: Timeouts
    requests: Callable[[str, int], None]
    tally: IngestMetrics
    max_buffered: int = 64 * 1024 * 1024
    debug: bool = False
