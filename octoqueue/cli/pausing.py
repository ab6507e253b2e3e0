"""`octoqueue pause` and `octoqueue resume`: whether workers may claim from a queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.queue_readings import require_known
from octoqueue.cli.reading import store_of
from octoqueue.settings.root import Settings

pause_app = typer.Typer(add_completion=False)
resume_app = typer.Typer(add_completion=False)

_PAUSE_HELP: Final = """
Let nothing be claimed from some queues until they are resumed.

\b
    octoqueue pause coder judge

What runs goes on to its end, what is sent waits, in all workers at once. Pausing twice is the \
same as pausing once.
"""
_RESUME_HELP: Final = """
Let paused queues be claimed from again.

\b
    octoqueue resume coder judge
"""

_QueuesArgument = Annotated[
    list[str], typer.Argument(metavar="QUEUE", help="The queues.", show_default=False)
]


@pause_app.command(help=_PAUSE_HELP)
def pause(
    queues: _QueuesArgument, *, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Let nothing be claimed from some queues."""
    with failures(as_json=as_json):
        run_async(_set(Settings.load(config), queues, paused=True))
    _tell(queues, paused=True, as_json=as_json)


@resume_app.command(help=_RESUME_HELP)
def resume(
    queues: _QueuesArgument, *, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Let paused queues be claimed from again."""
    with failures(as_json=as_json):
        run_async(_set(Settings.load(config), queues, paused=False))
    _tell(queues, paused=False, as_json=as_json)


async def _set(settings: Settings, queues: Sequence[str], *, paused: bool) -> None:
    """Pause or resume all, or none when one of them is unknown."""
    async with store_of(settings) as store:
        await require_known(store, queues)
        for queue in queues:
            await (store.pause(queue) if paused else store.resume(queue))


def _tell(queues: Sequence[str], *, paused: bool, as_json: bool) -> None:
    if as_json:
        print_json([{"queue": queue, "paused": paused} for queue in queues])
        return
    for queue in queues:
        sentence = f"Queue {queue} is {'paused' if paused else 'open'}."
        answers().print(sentence, markup=False, soft_wrap=True)
