"""Engines of durable workflows behind one set of verbs: ours and others. See `rig`."""
