"""README, quickstart and guides, run as their reader would: ``python -m tests.documents``."""
