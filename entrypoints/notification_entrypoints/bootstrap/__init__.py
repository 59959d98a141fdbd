"""Building the application from settings and adapters."""
