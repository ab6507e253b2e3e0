"""One question a module; each has a `SCENARIO`."""
