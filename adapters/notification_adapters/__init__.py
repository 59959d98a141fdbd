"""The adapters: one module or folder a technology, each behind an extra."""
