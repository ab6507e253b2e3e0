"""Commands that are known by name and loaded when they are run.

The list of commands must not cost what the commands need: `octoqueue --help` imports none of them.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup


@contextmanager
def _collecting_nothing() -> Generator[None]:
    """Keep the garbage collector from looking through modules again and again as they are made."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command before it is loaded."""

    name: str
    target: str
    """The `typer.Typer` that has it, as `module:attribute`."""
    summary: str
    """What the list of commands says of it."""

    def load(self) -> Any:  # noqa: ANN401 - typer does not publish its command types
        """Import the module and return the command."""
        module, _, attribute = self.target.partition(":")
        with _collecting_nothing():
            app = cast("typer.Typer", getattr(import_module(module), attribute))
        command = typer.main.get_command(app)
        command.name = self.name
        return command


class LazyGroup(TyperGroup):
    """A group that lists signposts and resolves them to commands."""

    entries: tuple[Entry, ...] = ()

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - passed on as they are
        super().__init__(**options)
        for entry in self.entries:
            self.add_command(TyperCommand(name=entry.name, help=entry.summary))

    def resolve_command(
        self,
        ctx: Any,  # noqa: ANN401 - typer does not publish its context type
        args: list[str],
    ) -> tuple[str | None, Any, list[str]]:
        """Return the command that `args` name, loaded."""
        name, signpost, rest = super().resolve_command(ctx, args)
        loaded = next((entry.load() for entry in self.entries if entry.name == name), signpost)
        return name, loaded, rest
