"""The ports in memory: for unit tests and for trying things out; nothing outlives the process."""

from notification_adapters.memory.clock import ManualClock
from notification_adapters.memory.environments import MemoryEnvironmentDirectory
from notification_adapters.memory.event_source import MemorySource, MemoryTopics
from notification_adapters.memory.message_sink import MemorySink
from notification_adapters.memory.sender import ScriptedSender
from notification_adapters.memory.storage import MemoryStorage, memory_storage

__all__ = [
    "ManualClock",
    "MemoryEnvironmentDirectory",
    "MemorySink",
    "MemorySource",
    "MemoryStorage",
    "MemoryTopics",
    "ScriptedSender",
    "memory_storage",
]
