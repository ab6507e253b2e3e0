"""`--rate`: how fast a command works something off."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import typer

from octoqueue.cli.output import notices
from octoqueue.primitives.clock import Clock, SystemClock

T = TypeVar("T")

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CALLS_PER_SECOND: Final = 5
"""At most: a fast pace takes more at a time, not more often."""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many in a second, evenly."""

    per_second: float

    def at_once(self, most: int) -> int:
        """Return how many to take at a time, at least one."""
        return max(1, min(most, int(self.per_second / _CALLS_PER_SECOND)))

    def due_seconds(self, done: int) -> float:
        """Return how long after the beginning the next may be taken."""
        return done / self.per_second


def pace_from(context: typer.Context, text: str | None) -> Pace | None:
    """Return the pace that `--rate` writes: `50/s`, `100/m`, `5000/h`.

    Raises:
        typer.BadParameter: it writes none.
    """
    if text is None:
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise typer.BadParameter(f"--rate: {text!r} is no rate; write 50/s or 100/m", ctx=context)
    return Pace(float(match[1]) / _SECONDS[match[2]])


async def worked_off(
    things: Sequence[T],
    act: Callable[[Sequence[T]], Awaitable[None]],
    *,
    most: int,
    pace: Pace | None,
    clock: Clock | None = None,
) -> None:
    """Hand all things to `act`, some at a time, no faster than the pace."""
    clock = clock or SystemClock()
    begun_seconds, at_once = clock.monotonic(), most if pace is None else pace.at_once(most)
    for first in range(0, len(things), at_once):
        if pace is not None:
            due_seconds = begun_seconds + pace.due_seconds(first)
            await clock.sleep(max(due_seconds - clock.monotonic(), 0))
        await act(things[first : first + at_once])


@contextmanager
def progress(what: str, total: int, *, shown: bool) -> Generator[Callable[[int], None]]:
    """Show on a terminal how far it is; yields what is to be told the count so far."""
    console = notices()
    if not shown or not console.is_terminal:
        yield lambda _: None
        return
    from rich.markup import escape  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(escape(what), total=total)
        yield lambda done: bar.update(task, completed=done)
