"""`octoqueue dead-letters`: the messages that will not run again by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
import typer

from octoqueue.cli.output import ConfigOption, JsonOption, answers, failures, print_json, run_async
from octoqueue.cli.reading import store_of
from octoqueue.errors import EnvelopeError
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import DeadLetter
from octoqueue.settings.root import Settings

app = typer.Typer(
    help="Look at messages that will not run again by themselves.",
    no_args_is_help=True,
    add_completion=False,
)

_HELP: Final = """
List the dead letters of a queue, newest first, with the reason of each.

\b
    octoqueue dead-letters list coder
    octoqueue dead-letters list coder --limit 10 --json
"""


@app.callback()
def _group() -> None:
    """Look at messages that will not run again by themselves."""


@app.command(name="list", help=_HELP)
def list_(
    queue: Annotated[str, typer.Argument(help="The queue.", show_default=False)],
    *,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the dead letters of a queue."""
    with failures(as_json=as_json):
        letters = run_async(_read(Settings.load(config), queue, limit))
    if as_json:
        print_json([document(letter) for letter in letters])
    else:
        _print(queue, [document(letter) for letter in letters])


async def _read(settings: Settings, queue: str, limit: int) -> list[DeadLetter]:
    async with store_of(settings) as store:
        return await store.dead_letters(queue, limit=limit)


def document(letter: DeadLetter) -> dict[str, Any]:
    """Return what is known of a dead letter; one that cannot be decoded has no arguments."""
    died_at = datetime.fromtimestamp(letter.died_at_ms / 1000, tz=UTC)
    known: dict[str, Any] = {
        "message_id": text_from_id(letter.message_id),
        "queue": letter.queue,
        "died_at": died_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "reason": orjson.loads(letter.reason),
    }
    try:
        call = decode_body(letter.payload)
    except EnvelopeError:
        return known | {"actor": None, "payload_bytes": len(letter.payload)}
    return known | {"actor": call.actor, "args": call.args, "kwargs": call.kwargs}


def _print(queue: str, letters: list[dict[str, Any]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    console = answers()
    if not letters:
        console.print(f"Queue {queue} has no dead letters.")
        return
    table = Table(
        "died", "message", "actor", "reason", box=None, header_style="bold", pad_edge=False
    )
    for letter in letters:
        reason = letter["reason"]
        died_at = datetime.fromisoformat(letter["died_at"]).astimezone()
        table.add_row(
            f"{died_at:%Y-%m-%d %H:%M:%S}",
            letter["message_id"],
            Text(letter["actor"] or "?"),
            Text(f"{reason.get('error')}: {reason.get('message')}"),
        )
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)
