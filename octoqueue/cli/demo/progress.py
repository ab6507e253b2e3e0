"""The demonstration while it runs: a live table on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from octoqueue.cli.demo.tally import Tally
from octoqueue.errors import StoreError
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import Clock
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats

_PICTURE_EVERY_SECONDS: Final = 0.25
_LINE_EVERY_SECONDS: Final = 2.0
_BAR_CELLS: Final = 32
_STYLES: Final = {Lane.HIGH: "red", Lane.NORMAL: "yellow", Lane.LOW: "cyan"}


class Progress:
    """Shows a tally and the queues behind it."""

    def __init__(
        self,
        tally: Tally,
        store: LaneStore,
        serving: Mapping[str, str],
        *,
        sizes: Callable[[], Mapping[str, int]],
        console: Console,
        clock: Clock,
    ) -> None:
        """Show the queues in `serving`, each with the fleet that serves it and that one's size."""
        self._tally = tally
        self._store = store
        self._serving = dict(serving)
        self._sizes = sizes
        self._console = console
        self._clock = clock
        self._began = clock.monotonic()
        self._stats: list[QueueStats] = []

    async def show(self, finished: asyncio.Event) -> None:
        """Show until it is finished; what is shown last stays."""
        self._began = self._clock.monotonic()
        if self._console.is_terminal:
            await self._show_picture(finished)
        else:
            await self._show_lines(finished)

    async def _show_picture(self, finished: asyncio.Event) -> None:
        await self._read()
        with Live(self._picture(), console=self._console, auto_refresh=False) as live:
            while not await _within(_PICTURE_EVERY_SECONDS, finished):
                await self._read()
                live.update(self._picture(), refresh=True)
            await self._read()
            live.update(self._picture(), refresh=True)

    async def _show_lines(self, finished: asyncio.Event) -> None:
        while not await _within(_LINE_EVERY_SECONDS, finished):
            await self._read()
            self._console.print(self._line(), soft_wrap=True)
        self._console.print(self._numbers(), soft_wrap=True)

    async def _read(self) -> None:
        with contextlib.suppress(StoreError):  # then the last numbers stay
            self._stats = list(
                await asyncio.gather(*(self._store.stats(queue) for queue in self._serving))
            )

    def _numbers(self) -> str:
        tally, seconds = self._tally, self._clock.monotonic() - self._began
        done = len(tally.done)
        refused = f" · refused {tally.refused}" if tally.refused else ""
        failed = f" · failed {tally.failed}" if tally.failed else ""
        return (
            f"{seconds:5.1f} s · accepted {tally.accepted} of {tally.wanted}{refused}"
            f" · done {done}{failed} · {done / max(seconds, 0.001):.0f}/s"
        )

    def _line(self) -> str:
        waiting = [f"{each.queue} {each.waiting}" for each in self._stats if each.waiting]
        running = sum(each.in_flight for each in self._stats)
        workers = sum(self._sizes().values())
        return (
            f"{self._numbers()} · waiting: {', '.join(waiting) or 'none'} · running {running}"
            f" · workers {workers}"
        )

    def _picture(self) -> RenderableType:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("queue", min_width=10)
        for lane in Lane:
            table.add_column(lane.label, justify="right", min_width=6, style=_STYLES[lane])
        table.add_column("workers", justify="right", min_width=7)
        table.add_column("running", justify="right", min_width=7, style="green")
        table.add_column("done", justify="right", min_width=6)
        sizes = self._sizes()
        for each in self._stats:
            table.add_row(
                each.queue,
                *(_shown(each.depth[lane]) for lane in Lane),
                _shown(sizes.get(self._serving[each.queue], 0)),
                _shown(each.in_flight),
                _shown(each.counters.get("acked", 0)),
            )
        tally = self._tally
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            ProgressBar(total=max(tally.wanted, 1), completed=len(tally.done), width=_BAR_CELLS),
            self._numbers(),
        )
        return Group(Text(), table, Text(), bar, Text())


def _shown(count: int) -> Text:
    return Text(str(count)) if count else Text("·", style="dim")


async def _within(seconds: float, finished: asyncio.Event) -> bool:
    """Return whether it is finished, after `seconds` at the latest."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await finished.wait()
    return finished.is_set()
