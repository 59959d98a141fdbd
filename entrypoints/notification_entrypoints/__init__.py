"""Settings, wiring, API, ops server and command line: the only place that names adapters."""
