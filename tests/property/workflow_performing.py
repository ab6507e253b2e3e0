"""What the actors of programs do, for workers that are only played."""

from __future__ import annotations

from typing import Any

from tests.workflow_model import mixed


def perform(name: str, args: list[Any], attempt: int) -> object:
    """Do what an actor does at its attempt, from 1."""
    if name == "fail":
        raise ValueError(args[0])
    if name == "flaky" and attempt == 1:
        raise ConnectionError(args[1])
    return args[0] if name == "undo" else mixed(*args)
