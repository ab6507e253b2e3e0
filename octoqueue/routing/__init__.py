"""Where things belong: pure decisions, no I/O."""
