"""The shared vocabulary: frozen values and pure functions; no I/O, no client library."""
