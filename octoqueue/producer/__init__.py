"""How applications put work in, beyond one message at a time."""
