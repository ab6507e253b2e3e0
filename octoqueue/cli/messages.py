"""`octoqueue inspect`, `explain`, `cancel` and `move`: about one message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from octoqueue.cli.message_views import document, place_document, print_message
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.reading import store_of
from octoqueue.errors import MessageUnknown
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.finding import Explanation, State, Whereabouts
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.ids import MessageId, id_from_text, text_from_id
from octoqueue.primitives.lane import lane_from
from octoqueue.settings.root import Settings

T = TypeVar("T")

inspect_app = typer.Typer(add_completion=False)
explain_app = typer.Typer(add_completion=False)
cancel_app = typer.Typer(add_completion=False)
move_app = typer.Typer(add_completion=False)

_INSPECT_HELP: Final = """
Show where a message is, what it calls, how earlier attempts failed, and how it ended.

\b
    octoqueue inspect 01890a5d-ac96-774b-bcce-b302099a8057
    octoqueue inspect 01890a5d-ac96-774b-bcce-b302099a8057 --json | jq .args

All queues are looked through, some messages at a time; --queue looks in one. A message that has \
ended is known as long as its result is kept.
"""
_EXPLAIN_HELP: Final = """
Say why a message does not run, the hardest reason first.

\b
    octoqueue explain 01890a5d-ac96-774b-bcce-b302099a8057
"""
_CANCEL_HELP: Final = """
Let a message never start, or stop it where it runs.

\b
    octoqueue cancel 01890a5d-ac96-774b-bcce-b302099a8057 --reason "sent twice"

One that runs is stopped by its worker: an async actor at its next await, a thread at its next \
instruction. Whoever waits for its result is told the reason.
"""
_MOVE_HELP: Final = """
Put a message that waits or is delayed into another lane of its queue, at the tail.

\b
    octoqueue move 01890a5d-ac96-774b-bcce-b302099a8057 --lane high
"""

_CANCELLED: Final = {
    CancelOutcome.REMOVED: "cancelled: it had not been started, and never will be",
    CancelOutcome.STOPPING: "cancelled: its worker was told to stop it",
    CancelOutcome.DEAD: "not cancelled: it is a dead letter, 'octoqueue dead purge' removes it",
    CancelOutcome.FINISHED: "not cancelled: it has ended",
}

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The message's id.", show_default=False)
]
QueueOption = Annotated[
    str | None,
    typer.Option("--queue", metavar="QUEUE", help="Look only there.", show_default=False),
]


@inspect_app.command(name="inspect", help=_INSPECT_HELP)
def inspect(
    context: typer.Context,
    message_id: IdArgument,
    *,
    queue: QueueOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one message."""
    ident = _id_from(context, message_id)

    async def look(store: LaneStore) -> dict[str, Any]:
        where = await _found(store, ident, queue)
        letter = result = None
        history = await store.history(ident)
        if where.state is State.DEAD and where.queue is not None:
            letter = await store.dead_letter(where.queue, ident)
        if where.state is State.FINISHED:
            result = await store.result(ident)
        return document(where, letter=letter, result=result, history=history)

    with failures(as_json=as_json):
        told = run_async(_with_store(Settings.load(config), look))
    if as_json:
        print_json(told)
    else:
        print_message(told)


@explain_app.command(name="explain", help=_EXPLAIN_HELP)
def explain(
    context: typer.Context,
    message_id: IdArgument,
    *,
    queue: QueueOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say why a message does not run."""
    ident = _id_from(context, message_id)

    async def ask(store: LaneStore) -> Explanation:
        told = await store.explain(ident, queue=queue)
        _require_known(told.where)
        return told

    with failures(as_json=as_json):
        told = run_async(_with_store(Settings.load(config), ask))
    if as_json:
        reasons = [{"cause": one.cause.value, "text": one.text} for one in told.reasons]
        print_json(place_document(told.where) | {"reasons": reasons})
        return
    where = f" in queue {told.where.queue}" if told.where.queue else ""
    _say(f"Message {message_id} is {told.where.state.value}{where}:")
    for one in told.reasons:
        _say(f"  {one.text}")


@cancel_app.command(name="cancel", help=_CANCEL_HELP)
def cancel(
    context: typer.Context,
    message_id: IdArgument,
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept, and told to whoever waits for its result.")
    ] = "",
    queue: QueueOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a message never start, or stop it."""
    ident = _id_from(context, message_id)

    async def stop(store: LaneStore) -> CancelOutcome:
        outcome = await store.cancel(ident, reason, queue=queue)
        if outcome is CancelOutcome.UNKNOWN:
            raise MessageUnknown(text_from_id(ident))
        return outcome

    with failures(as_json=as_json):
        outcome = run_async(_with_store(Settings.load(config), stop))
    if as_json:
        print_json({"message_id": text_from_id(ident), "outcome": outcome.value})
    else:
        _say(f"Message {message_id} is {_CANCELLED[outcome]}.")
    if outcome in (CancelOutcome.DEAD, CancelOutcome.FINISHED):
        raise typer.Exit(1)


@move_app.command(name="move", help=_MOVE_HELP)
def move(
    context: typer.Context,
    message_id: IdArgument,
    *,
    lane: Annotated[str, typer.Option(metavar="LANE", help="high, normal or low.")],
    queue: QueueOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Put a message into another lane."""
    ident = _id_from(context, message_id)

    async def put(store: LaneStore) -> Whereabouts:
        await _found(store, ident, queue)
        return await store.move(ident, lane_from(lane), queue=queue)

    with failures(as_json=as_json):
        where = run_async(_with_store(Settings.load(config), put))
    if as_json:
        print_json(place_document(where))
    else:
        _say(f"Message {message_id} is {where.state.value} in lane {lane_from(lane).label}.")


async def _with_store(settings: Settings, act: Callable[[LaneStore], Awaitable[T]]) -> T:
    async with store_of(settings) as store:
        return await act(store)


async def _found(store: LaneStore, ident: MessageId, queue: str | None) -> Whereabouts:
    where = await store.find(ident, queue=queue)
    _require_known(where)
    return where


def _require_known(where: Whereabouts) -> None:
    if where.state is State.UNKNOWN:
        raise MessageUnknown(text_from_id(where.message_id))


def _id_from(context: typer.Context, text: str) -> MessageId:
    found = id_from_text(text.lower())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no message id; sending a message returns it, "
            "'octoqueue dead list' shows those of dead letters",
            ctx=context,
        )
    return found


def _say(sentence: str) -> None:
    answers().print(sentence, markup=False, soft_wrap=True)
