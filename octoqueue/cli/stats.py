"""`octoqueue stats`: what waits, what runs, and what became of the rest, a line a queue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from octoqueue.cli.output import ConfigOption, JsonOption, answers, complain, failures, run_async
from octoqueue.cli.reading import age_from, store_of
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.histogram import percentile_ms
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(add_completion=False)

_HELP: Final = """
Show what waits, what runs, and what became of the rest, a line a queue.

\b
    octoqueue stats
    octoqueue stats coder judge --watch
    octoqueue stats --json | jq '.[] | {queue, waiting}'

A wait is the time from when a message could have been claimed to when it was. Its percentiles \
come from a histogram, right to about a factor of two. Totals count since the keys in Redis exist.
"""

_QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_AGAIN_SECONDS: Final = 1.0
_UNFOLDED: Final = 10_000


@app.command(help=_HELP)
def stats(
    queues: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUEUE", help="Queues to show (default: all).", show_default=False),
    ] = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every second, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what waits, what runs, and what became of the rest."""
    with failures(as_json=as_json):
        settings = Settings.load(config)
        try:
            run_async(_show(settings, queues or [], watch=watch, as_json=as_json))
        except KeyboardInterrupt:
            if not watch:
                raise


async def _show(settings: Settings, names: list[str], *, watch: bool, as_json: bool) -> None:
    async with store_of(settings) as store:
        for name in set(names).difference(await store.queues() if names else ()):
            complain(f"no message was ever put into a queue called {name!r}")
        if watch:
            await _watch(store, names, as_json=as_json)
            return
        found = await _read(store, names)
        if as_json:
            sys.stdout.write(_json([document(each) for each in found], indent=True))
        else:
            _print_table(found)


async def _read(store: LaneStore, names: Sequence[str]) -> list[QueueStats]:
    shown = names or await store.queues()
    return list(await asyncio.gather(*(store.stats(name) for name in shown)))


async def _watch(store: LaneStore, names: Sequence[str], *, as_json: bool) -> None:
    clock, console = SystemClock(), answers()
    if as_json or not console.is_terminal:
        while True:
            found = await _read(store, names)
            if as_json:
                sys.stdout.write(_json([document(each) for each in found]))
                sys.stdout.flush()
            else:
                _print_table(found)
            await clock.sleep(_AGAIN_SECONDS)
    from rich.live import Live  # noqa: PLC0415 - only a terminal needs it

    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table_from(await _read(store, names)), refresh=True)
            await clock.sleep(_AGAIN_SECONDS)


def document(stats_: QueueStats) -> dict[str, Any]:
    """Return what a machine is told of a queue."""
    return {
        "queue": stats_.queue,
        "waiting": {lane.label: stats_.depth[lane] for lane in Lane},
        "delayed": stats_.delayed,
        "in_flight": stats_.in_flight,
        "dead": stats_.dead,
        "oldest_age_seconds": stats_.oldest_age_seconds,
        "totals": stats_.counters,
        "wait_ms": {name: _wait_ms(stats_, quantile) for name, quantile in _QUANTILES.items()},
    }


def table_from(found: Sequence[QueueStats]) -> Table:
    """Return what a person is shown of some queues."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("queue")
    for header in (
        "high", "normal", "low", "delayed", "running", "dead", "oldest",
        "claimed", "done", "retried", "P50 wait", "P95 wait",
    ):  # fmt: skip
        table.add_column(header, justify="right")
    for each in found:
        counts = [*(each.depth[lane] for lane in Lane), each.delayed, each.in_flight]
        totals = [each.counters.get(name, 0) for name in ("claimed", "acked", "retried")]
        table.add_row(
            each.queue,
            *(_number(count) for count in counts),
            _number(each.dead, style="red"),
            age_from(each.oldest_age_seconds) if each.waiting else "[dim]-[/]",
            *(_number(total) for total in totals),
            *(_wait(each, _QUANTILES[name]) for name in ("p50", "p95")),
        )
    return table


def _print_table(found: Sequence[QueueStats]) -> None:
    console = answers()
    if not found:
        console.print("No queue has ever been used.")
        return
    if not console.is_terminal:
        console.width = _UNFOLDED  # a pipe has no width: nothing is folded there
    console.print(table_from(found))


def _number(count: int, *, style: str = "") -> str:
    if not count:
        return "[dim]0[/]"
    return f"[{style}]{count:,}[/]" if style else f"{count:,}"


def _wait_ms(stats_: QueueStats, quantile: float) -> float | None:
    wait_ms = percentile_ms(stats_.waits, quantile)
    return None if wait_ms is None else round(wait_ms, 1)


def _wait(stats_: QueueStats, quantile: float) -> str:
    wait_ms = _wait_ms(stats_, quantile)
    return "[dim]-[/]" if wait_ms is None else age_from(wait_ms / 1000)


def _json(value: object, *, indent: bool = False) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode() + "\n"
