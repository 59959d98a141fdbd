"""The ports in memory: for unit tests and for trying things out; nothing outlives the process."""
