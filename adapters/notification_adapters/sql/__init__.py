"""SQL storage: one schema, one store a module."""
