"""The shared vocabulary: frozen values and pure functions. Nothing here does I/O or knows a client library."""
