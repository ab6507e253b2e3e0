"""`octoqueue top`: the queues, live, until `q` or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from octoqueue.cli.output import ConfigOption, JsonOption, answers, complain, failures, run_async
from octoqueue.cli.queue_readings import QueueReader, require_known
from octoqueue.cli.queue_views import QueueView, document, table_within
from octoqueue.cli.queues import QueuesArgument
from octoqueue.cli.reading import store_of
from octoqueue.errors import StoreError
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import SystemClock
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

app = typer.Typer(add_completion=False)

_HELP: Final = """
Show the queues live, busiest first, until q or Ctrl-C.

\b
    octoqueue top
    octoqueue top coder judge --every 0.5
    octoqueue top --json | jq -c '.[] | [.queue, .out_per_second]'

Rates and waits are those of the last ten looks. With --json every look is one line, and it works \
in a pipe; without, it needs a terminal.
"""

_REMEMBERED: Final = 10
_NO_TERMINAL: Final = (
    "top needs a terminal; 'octoqueue queues' prints the same once, "
    "'octoqueue top --json' a line of JSON each time"
)


@app.command(help=_HELP)
def top(
    names: QueuesArgument = None,
    *,
    every: Annotated[
        float,
        typer.Option("--every", min=0.1, max=3600, metavar="SECONDS", help="Between the looks."),
    ] = 1.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the queues live."""
    if not as_json and not answers().is_terminal:
        complain(_NO_TERMINAL)
        raise typer.Exit(2)
    with failures(as_json=as_json), contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        run_async(_show(Settings.load(config), names or [], every, as_json=as_json))


async def _show(
    settings: Settings, names: list[str], every_seconds: float, *, as_json: bool
) -> None:
    async with store_of(settings) as store:
        await require_known(store, names)
        reader = QueueReader(store, names, remembered=_REMEMBERED)
        if as_json:
            await _stream(reader, every_seconds)
        else:
            await _live(store, reader, every_seconds)


async def _stream(reader: QueueReader, every_seconds: float) -> None:
    clock = SystemClock()
    while True:
        await reader.read()
        told = [document(view) for view in reader.views(recent=True)]
        sys.stdout.write(orjson.dumps(told).decode() + "\n")
        sys.stdout.flush()
        await clock.sleep(every_seconds)


async def _live(store: LaneStore, reader: QueueReader, every_seconds: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - not for JSON

    console, quit_asked = answers(), asyncio.Event()
    namespace = store.options.namespace
    await reader.read()  # a store that is not there is told without a screen
    with (
        _keys(quit_asked),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while not quit_asked.is_set():
            trouble = ""
            try:
                await reader.read()
            except StoreError as error:  # it shows the last numbers until the store is back
                trouble = str(error)
            live.update(_screen(console, reader, namespace, trouble), refresh=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await quit_asked.wait()


def _screen(console: Console, reader: QueueReader, namespace: str, trouble: str) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    views = sorted(reader.views(recent=True), key=_busiest_first)
    room = max(console.height - 4, 1)
    head = Text(_headline(views, namespace), style="bold", no_wrap=True, overflow="ellipsis")
    parts: list[RenderableType] = [
        head,
        Text(trouble, style="red"),
        table_within(views[:room], console),
    ]
    if len(views) > room:
        parts.append(Text(f"… and {len(views) - room} quieter queues", style="dim"))
    return Group(*parts)


def _headline(views: list[QueueView], namespace: str) -> str:
    waiting = sum(view.stats.waiting for view in views)
    running = sum(view.stats.in_flight for view in views)
    rate_in = sum(view.in_per_second or 0 for view in views)
    rate_out = sum(view.out_per_second or 0 for view in views)
    return (
        f"octoqueue {namespace}: {waiting:,} waiting, {running:,} running, "
        f"{rate_in:,.0f} in/s, {rate_out:,.0f} out/s   (q ends)"
    )


def _busiest_first(view: QueueView) -> tuple[float, float, str]:
    work = view.stats.waiting + view.stats.in_flight
    return (-(view.out_per_second or 0.0), -float(work), view.stats.queue)


@contextlib.contextmanager
def _keys(quit_asked: asyncio.Event) -> Generator[None]:
    """Hear `q` without Enter, when there is a keyboard; the terminal is left as it was."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415 - as above

    keyboard, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(keyboard)

    def hear() -> None:
        if b"q" in os.read(keyboard, 64).lower():
            quit_asked.set()

    try:
        tty.setcbreak(keyboard)
        loop.add_reader(keyboard, hear)
        loop.add_signal_handler(signal.SIGTERM, quit_asked.set)
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
