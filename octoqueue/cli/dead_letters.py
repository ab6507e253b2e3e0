"""`octoqueue dead-letters`: the messages that will not run again by themselves.

What changes something shows what it would do, and does it when it is told `--yes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from octoqueue.cli.dead_letter_choice import LOOKED_AT, Choice, choice_from, id_from
from octoqueue.cli.dead_letter_views import (
    call_of,
    document,
    full_document,
    print_letter,
    print_table,
)
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    complain,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.pace import Pace, pace_from, progress, worked_off
from octoqueue.cli.queue_readings import require_known
from octoqueue.cli.reading import store_of
from octoqueue.errors import DeadLetterUnknown, NotReplayable, OctoqueueError
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.history import PastAttempt
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.messages import DeadLetter
from octoqueue.settings.root import Settings

app = typer.Typer(
    help="Look at messages that will not run again by themselves, replay them, purge them.",
    no_args_is_help=True,
    add_completion=False,
)

_LIST_HELP: Final = """
List the dead letters of a queue, newest first, with the reason of each.

\b
    octoqueue dead-letters list coder
    octoqueue dead-letters list coder --limit 10 --json
"""
_SHOW_HELP: Final = """
Show one dead letter: its call, its error with the traceback, how earlier attempts failed.

\b
    octoqueue dead-letters show coder 01890a5d-ac96-774b-bcce-b302099a8057
"""
_REPLAY_HELP: Final = """
Put dead letters back at the tail of their lanes, oldest first, as if never tried.

Shows what would be replayed; does it with --yes.

\b
    octoqueue dead-letters replay coder 01890a5d-ac96-774b-bcce-b302099a8057 --yes
    octoqueue dead-letters replay coder --actor write --error TimeoutError
    octoqueue dead-letters replay coder --all --limit 100 --yes
    octoqueue dead-letters replay coder --all --rate 50/s --yes

With --rate it can be interrupted; the same command takes up the rest.
"""
_PURGE_HELP: Final = """
Remove dead letters for good.

Shows what would be removed; does it with --yes.

\b
    octoqueue dead-letters purge coder --older-than 7d
    octoqueue dead-letters purge coder --actor write --error ValueError --yes
    octoqueue dead-letters purge coder --all --yes
"""

_AT_ONCE: Final = 100
"""Letters in one call of the store, which serves nobody else meanwhile."""
_SHOWN: Final = 50

QueueArgument = Annotated[
    str, typer.Argument(metavar="QUEUE", help="The queue.", show_default=False)
]
IdArguments = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Message ids.", show_default=False)
]
ActorOption = Annotated[
    str | None, typer.Option("--actor", metavar="ACTOR", help="Only messages of this actor.")
]
ErrorOption = Annotated[
    str | None,
    typer.Option("--error", metavar="CLASS", help="Only those that died of this error."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All of the queue.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it, not only show it.")]


@app.callback()
def _group() -> None:
    """Look at messages that will not run again by themselves, replay them, purge them."""


@app.command(name="list", help=_LIST_HELP)
def list_(
    queue: QueueArgument,
    *,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the dead letters of a queue."""
    with failures(as_json=as_json):
        letters = run_async(_read(Settings.load(config), queue, limit))
    documents = [document(letter) for letter in letters]
    if as_json:
        print_json(documents)
    elif documents:
        print_table(documents)
    else:
        answers().print(f"Queue {queue} has no dead letters.", markup=False)


async def _read(settings: Settings, queue: str, limit: int) -> list[DeadLetter]:
    async with store_of(settings) as store:
        await require_known(store, [queue])
        return await store.dead_letters(queue, limit=limit)


@app.command(help=_SHOW_HELP)
def show(
    context: typer.Context,
    queue: QueueArgument,
    message_id: Annotated[
        str, typer.Argument(metavar="ID", help="The message's id.", show_default=False)
    ],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one dead letter."""
    ident = id_from(context, message_id)
    with failures(as_json=as_json):
        letter = full_document(*run_async(_one(Settings.load(config), queue, ident)))
    if as_json:
        print_json(letter)
    else:
        print_letter(letter)


async def _one(
    settings: Settings, queue: str, message_id: MessageId
) -> tuple[DeadLetter, list[PastAttempt]]:
    async with store_of(settings) as store:
        await require_known(store, [queue])
        letter = await store.dead_letter(queue, message_id)
        history = await store.history(message_id)
    if letter is None:
        raise DeadLetterUnknown(queue, text_from_id(message_id))
    return letter, history


@app.command(help=_REPLAY_HELP)
def replay(
    context: typer.Context,
    queue: QueueArgument,
    ids: IdArguments = None,
    *,
    actor: ActorOption = None,
    error: ErrorOption = None,
    everything: AllOption = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N, the oldest.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="N/TIME", help="No faster than that: 50/s, 100/m.", show_default=False
        ),
    ] = None,
    over_bound: Annotated[
        bool, typer.Option("--over-bound", help="Also into lanes that are full.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Put dead letters back at the tail of their lanes."""
    choice = choice_from(
        context, ids or (), everything=everything, actor=actor, error=error, limit=limit
    )

    pace = pace_from(context, rate)

    async def act(store: LaneStore, plan: _Plan) -> None:
        async def again(some: Sequence[MessageId]) -> int:
            return len(await store.replay(queue, some, over_bound=over_bound))

        with progress("replaying", len(plan.letters), shown=not as_json) as tell:
            await _in_slices(plan, again, pace=pace, tell=tell)

    plan = _Plan(queue=queue, verb="replay", choice=choice, done=yes)
    _carry_out(plan, act, config=config, as_json=as_json)


@app.command(help=_PURGE_HELP)
def purge(
    context: typer.Context,
    queue: QueueArgument,
    ids: IdArguments = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Only those that died before: 7d, 12h."),
    ] = None,
    actor: ActorOption = None,
    error: ErrorOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove dead letters for good."""
    choice = choice_from(
        context, ids or (), everything=everything, older_than=older_than, actor=actor, error=error
    )

    async def act(store: LaneStore, plan: _Plan) -> None:
        if choice.only_age:
            plan.count = await store.purge(queue, older_than=choice.older_than)
        else:
            await _in_slices(plan, lambda some: store.purge(queue, some))

    plan = _Plan(queue=queue, verb="purge", choice=choice, done=yes)
    _carry_out(plan, act, config=config, as_json=as_json)


_Act = Callable[[LaneStore, "_Plan"], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What a command is about to do, and what came of it."""

    queue: str
    verb: str
    choice: Choice
    done: bool
    dead: int = 0
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    unusable: list[DeadLetter] = field(default_factory=list[DeadLetter])
    """Those that match and cannot be replayed."""
    count: int = 0
    """How many it was done to."""

    @property
    def past(self) -> str:
        """The verb, of what was done."""
        return {"replay": "replayed", "purge": "purged"}[self.verb]

    async def make(self, store: LaneStore) -> None:
        """Find the letters."""
        self.dead = (await store.stats(self.queue)).dead
        self.letters = await self.choice.letters(store, self.queue)
        if self.verb == "replay":
            self.unusable = [letter for letter in self.letters if call_of(letter) is None]
            if self.unusable and self.choice.message_ids:
                raise NotReplayable(self.queue, text_from_id(self.unusable[0].message_id))
            self.letters = [letter for letter in self.letters if call_of(letter) is not None]

    def tell(self, *, as_json: bool) -> None:
        """Show it, to a machine or to a person."""
        documents = [document(letter) for letter in self.letters]
        if as_json:
            print_json(
                {
                    "queue": self.queue,
                    "dead": self.dead,
                    "dry_run": not self.done,
                    self.past: self.count,
                    "letters": documents,
                    "undecodable": [document(letter) for letter in self.unusable],
                }
            )
            return
        if documents and not self.done:
            print_table(documents[:_SHOWN])
        for sentence in self._sentences():
            answers().print(sentence, markup=False, soft_wrap=True)

    def _sentences(self) -> list[str]:
        chosen, sentences = len(self.letters), list[str]()
        if not self.done and chosen > _SHOWN:
            sentences.append(f"… and {chosen - _SHOWN:,} more")
        if self.unusable:
            sentences.append(f"{len(self.unusable):,} cannot be decoded, so not replayed.")
        whole = self.choice.message_ids or (self.done and self.choice.only_age)
        if self.dead > LOOKED_AT and not whole:
            sentences.append(f"Only the newest {LOOKED_AT:,} of {self.dead:,} were looked at.")
        if not self.done:
            sentences.append(
                f"Would {self.verb} {chosen:,} of {self.dead:,} dead letters of queue "
                f"{self.queue}." + (" Nothing is changed; --yes does it." if chosen else "")
            )
        else:
            past = self.past.capitalize()
            letters = "dead letter" if self.count == 1 else "dead letters"
            sentences.append(f"{past} {self.count:,} {letters} of queue {self.queue}.")
            if self.count < chosen:
                sentences.append(f"Gone meanwhile: {chosen - self.count:,}.")
        return sentences


def _carry_out(plan: _Plan, act: _Act, *, config: Path | None, as_json: bool) -> None:
    with failures(as_json=as_json):
        try:
            run_async(_make_and_do(Settings.load(config), plan, act))
        except OctoqueueError:
            if plan.count and not as_json:
                complain(f"{plan.count:,} of {len(plan.letters):,} were {plan.past}, but then:")
            raise
        except KeyboardInterrupt:
            if plan.done and not as_json:
                complain(
                    f"interrupted: {plan.count:,} of {len(plan.letters):,} were {plan.past}; "
                    "the same command takes up the rest"
                )
            raise
    plan.tell(as_json=as_json)


async def _make_and_do(settings: Settings, plan: _Plan, act: _Act) -> None:
    async with store_of(settings) as store:
        await require_known(store, [plan.queue])
        await plan.make(store)
        if plan.done:
            await act(store, plan)


async def _in_slices(
    plan: _Plan,
    act: Callable[[Sequence[MessageId]], Awaitable[int]],
    *,
    pace: Pace | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> None:
    async def some(idents: Sequence[MessageId]) -> None:
        acting = asyncio.ensure_future(act(idents))
        try:
            await asyncio.shield(acting)
        finally:  # also when interrupted: what is under way counts
            plan.count += await acting
        tell(plan.count)

    idents = [letter.message_id for letter in plan.letters]
    await worked_off(idents, some, most=_AT_ONCE, pace=pace)
