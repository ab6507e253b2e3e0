"""Measuring. Numbers come from the counters in Redis, read when asked; nothing is sampled here."""
