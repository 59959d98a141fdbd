"""Reading dead letters again, as a consumer of these settings would read them."""

from notification_adapters.kafka.message_reader import MessageReader
from notification_core.ingest.data_validation import DataValidation
from notification_core.ingest.dead_letters import DeadLetterReplay
from notification_core.ingest.ingest import Ingest
from notification_core.ports.clock import Clock
from notification_core.ports.storage import Storage
from notification_entrypoints.config.settings import Settings


def dead_letter_replay(  # noqa: PLR0913 - its collaborators, one by one
    settings: Settings,
    storage: Storage,
    ingest: Ingest,
    validation: DataValidation,
    clock: Clock,
    *,
    traced: bool = False,
) -> DeadLetterReplay:
    """Return what lists dead letters and ingests them after all, by ``ingest``.

    No broker is needed: messages are in storage whole.
    """
    read = MessageReader(clock, settings.tz, settings.event.catalogue, traced=traced)
    return DeadLetterReplay(storage.dead_letters, ingest, read, validation)
