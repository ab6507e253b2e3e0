"""The workflow function that carries out the programs of `tests/workflow_model.py`, and its actors.

Each actor and each function that is run tells `note` that it had its effect: actors with the id of
their message, functions with their workflow and what they were given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import octoqueue
from octoqueue.errors import SignalTimeout, StepFailed
from tests.workflow_model import SILENT, Node, mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.workflows.context import Context

STEPS = "steps"
"""The queue of the actors."""
MILLISECOND = timedelta(milliseconds=1)


class Thrown(Exception):
    """What a program throws."""


CAUGHT = (StepFailed, SignalTimeout, Thrown)


def input_of(node: Node, seed: int) -> dict[str, Any]:
    """Return the input of an execution that carries out a program."""
    return {"program": node, "seed": seed}


def message_id() -> str:
    """Return the id of the message that runs here; empty outside of workers."""
    message = octoqueue.current_message()
    return "" if message is None else message.message_id


@dataclass(frozen=True)
class Actors:
    """What programs call. The attempt that a flaky one is at is told by its message."""

    call: Any
    fail: Any
    flaky: Any
    undo: Any


def declare_actors(broker: LaneBroker | None, note: Callable[[str], None]) -> Actors:
    """Declare the actors on a broker; the default one when it is None."""

    @octoqueue.actor(broker=broker, queue=STEPS, name="call")
    async def call(seed: int, number: int) -> int:
        note(message_id())
        return mixed(seed, number)

    @octoqueue.actor(broker=broker, queue=STEPS, name="fail", max_retries=0)
    async def fail(number: int) -> int:
        note(message_id())
        raise ValueError(number)

    @octoqueue.actor(
        broker=broker, queue=STEPS, name="flaky", max_retries=3, min_backoff=MILLISECOND
    )
    async def flaky(seed: int, number: int) -> int:
        note(message_id())
        message = octoqueue.current_message()
        if message is not None and not message.attempt:
            raise ConnectionError(number)
        return mixed(seed, number)

    @octoqueue.actor(broker=broker, queue=STEPS, name="undo")
    async def undo(number: int) -> int:
        note(message_id())
        return number

    return Actors(call, fail, flaky, undo)


@dataclass(frozen=True)
class Interpreter:
    """Carries out programs."""

    actors: Actors
    note: Callable[[str], None]
    child: Callable[[], Any]
    """The workflow that children are executions of."""
    runs_async: bool = False
    """Whether the functions that are run are coroutine functions."""

    async def carry_out(self, ctx: Context, input_: dict[str, Any]) -> int:
        """The workflow function."""
        return await self.do(ctx, input_["program"], input_["seed"])

    async def do(self, ctx: Context, node: Node, seed: int) -> int:  # noqa: PLR0911 - a case a word
        """Do what one node says; return the number that comes of it."""
        match node:
            case ["seq", nodes]:
                for each in nodes:
                    seed = await self.do(ctx, each, seed)
                return seed
            case ["gather", branches]:
                return _sum(await ctx.gather(*(self.do(ctx, each, seed) for each in branches)))
            case ["map", numbers, most]:
                return _sum(
                    await ctx.map(
                        lambda number: ctx.call(self.actors.call, seed, number),
                        numbers,
                        concurrency=most,
                    )
                )
            case ["try", body, otherwise]:
                try:
                    return await self.do(ctx, body, seed)
                except CAUGHT:
                    return await self.do(ctx, otherwise, seed)
            case ["child", program]:
                value: int = await ctx.child(self.child(), input_of(program, seed))
                return mixed(seed, value)
        return await self.do_one(ctx, node, seed)

    async def do_one(self, ctx: Context, node: Node, seed: int) -> int:  # noqa: PLR0911 - a case a word
        """Do what is one step at most."""
        match node:
            case ["call", number]:
                return await ctx.call(self.actors.call, seed, number)
            case ["flaky", number]:
                return await ctx.call(self.actors.flaky, seed, number)
            case ["fail", number]:
                return await ctx.call(self.actors.fail, number)
            case ["run" | "run_fail" as word, number]:
                where = f"{ctx.workflow_id} {word} {seed} {number}"
                function: Any = self.arun if self.runs_async else self.run
                return await ctx.run(function, word, seed, number, where, name="run")
            case ["sleep", milliseconds]:
                await ctx.sleep(milliseconds * MILLISECOND)
            case ["signal", name, milliseconds]:
                within = None if milliseconds is None else milliseconds * MILLISECOND
                return mixed(seed, await ctx.signal(name, int, timeout=within))
            case ["silence", milliseconds]:
                await ctx.signal(SILENT, int, timeout=milliseconds * MILLISECOND)
            case _:
                return self.do_at_once(ctx, node, seed)
        return seed

    def do_at_once(self, ctx: Context, node: Node, seed: int) -> int:
        """Do what waits for nothing."""
        match node:
            case ["emit"]:
                ctx.emit(seed)
            case ["facts"]:
                ctx.emit([ctx.now().isoformat(), str(ctx.uuid()), ctx.random().random()])
            case ["patched", name]:
                return mixed(seed, int(ctx.patched(name)))
            case ["undo", number]:
                ctx.on_failure(self.actors.undo, number)
            case ["again", program]:
                ctx.continue_as_new(input_of(program, seed))
            case ["throw"]:
                raise Thrown
            case _:
                raise AssertionError(node)
        return seed

    def run(self, word: str, seed: int, number: int, where: str) -> int:
        """A function run by the orchestrator."""
        self.note(where)
        if word == "run_fail":
            raise ValueError(number)
        return mixed(seed, number)

    async def arun(self, word: str, seed: int, number: int, where: str) -> int:
        """A coroutine function run by the orchestrator."""
        return self.run(word, seed, number, where)


def _sum(numbers: Sequence[int]) -> int:
    total = 0
    for number in numbers:
        total = mixed(total, number)
    return total
