"""The time that a workflow function is told, for what is built on its behalf.

A function that is replayed builds again what it has built days ago. What it may say then is judged
by the time at which it said it first.
"""

from __future__ import annotations

from contextvars import ContextVar

TOLD_MS: ContextVar[int | None] = ContextVar("octoqueue_told_ms", default=None)
"""Milliseconds since the epoch; None outside of workflow functions."""
