"""`Context`: all that a workflow function may do besides computing."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from octoqueue.errors import DeclarationError, InputInvalid
from octoqueue.workflows.branches import ContinueAsNew, Gathering
from octoqueue.workflows.definitions import Definition
from octoqueue.workflows.facts import EPOCH, Facts
from octoqueue.workflows.finding import printable
from octoqueue.workflows.values import plain_json
from octoqueue.workflows.waits import (
    CallWait,
    ChildWait,
    RunWait,
    SignalWait,
    SleepWait,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from types import UnionType

    from octoqueue.primitives.retry import RetryPolicy
    from octoqueue.workflows.callees import Callee

P = ParamSpec("P")
T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T_co = TypeVar("T_co", covariant=True)

_MILLISECOND = timedelta(milliseconds=1)


class Workflow(Protocol[T_co]):
    """A declared workflow: what `octoqueue.workflow` returns."""

    @property
    def definition(self) -> Definition:
        """The function as declared."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[T_co]:  # noqa: ANN401 - any function
        """Call the function; here it says what a child returns."""
        ...


class Context(Facts):
    """What a workflow function is given first.

    Steps begin when they are awaited, or when the `gather` they were given to is. Nothing else may
    be awaited, and nothing may be read that can differ in a replay: take the time, ids and random
    numbers from here, and do all else in actors or in `run`.
    """

    __slots__ = ()

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def call(self, actor: Callee[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Wait[T]:
        """Send a message to an actor and wait for what it returns.

        Options go with `using`: `await ctx.call(actor.using(lane="high"), 1)`.

        Raises:
            StepFailed: the actor failed for good, or its message was cancelled or expired.
            InputInvalid: an argument has no JSON form.
            InputTooLarge: the arguments are over the limit.
        """
        return CallWait(self._engine, actor, args, kwargs)

    @overload
    def run(
        self,
        function: Callable[..., Coroutine[Any, Any, T]],
        /,
        *args: object,
        retry: RetryPolicy | None = None,
        name: str | None = None,
    ) -> Wait[T]: ...
    @overload
    def run(
        self,
        function: Callable[..., T],
        /,
        *args: object,
        retry: RetryPolicy | None = None,
        name: str | None = None,
    ) -> Wait[T]: ...
    def run(
        self,
        function: Callable[..., Any],
        /,
        *args: object,
        retry: RetryPolicy | None = None,
        name: str | None = None,
    ) -> Wait[Any]:
        """Run a function in the orchestrator, sync or async, and keep what it returns.

        For what is quick and has an effect or reads the world; slow work belongs in an actor. It
        may run again when the process dies before its result is kept.

        Args:
            function: what to run.
            args: what it is called with.
            retry: whether it runs again when it raises; by default it does not.
            name: what the journal calls it; the function's own name by default.

        Raises:
            InvalidMessage: the name holds characters that cannot be printed, or too many.
            StepFailed: it raised.
        """
        if name is not None:
            printable("the name of a step", name)
        return RunWait(self._engine, function, args, retry=retry, name=name)

    def sleep(self, length: timedelta) -> Wait[None]:
        """Wait for time to pass; the process need not live that long."""
        return SleepWait(self._engine, length_ms=length // _MILLISECOND)

    def sleep_until(self, moment: datetime) -> Wait[None]:
        """Wait for a moment.

        Raises:
            InputInvalid: it has no time zone.
        """
        if moment.tzinfo is None:
            raise InputInvalid(
                self.name,
                "sleep_until",
                reason=f"{moment} has no time zone",
                workflow_id=self.workflow_id,
            )
        return SleepWait(self._engine, due_at_ms=(moment - EPOCH) // _MILLISECOND)

    @overload
    def signal(self, name: str, /, *, timeout: timedelta | None = None) -> Wait[Any]: ...
    @overload
    def signal(
        self, name: str, type_: type[T], /, *, timeout: timedelta | None = None
    ) -> Wait[T]: ...
    @overload
    def signal(
        self, name: str, type_: UnionType, /, *, timeout: timedelta | None = None
    ) -> Wait[Any]: ...
    def signal(
        self, name: str, type_: object = None, /, *, timeout: timedelta | None = None
    ) -> Wait[Any]:
        """Wait for a signal; one that came before is taken at once, the oldest first.

        Args:
            name: of the signal.
            type_: of its value; by default the declared one. What is not of it is refused.
            timeout: how long to wait; for ever by default.

        Raises:
            InvalidMessage: the name holds characters that cannot be printed, or too many.
            SignalTimeout: none came in time.
            SignalUnknown: the workflow declares its signals, and this is none of them.
        """
        if type_ is None:
            type_ = (self._engine.definition.signals or {}).get(name, Any)
        return SignalWait(self._engine, printable("the name of a signal", name), type_, timeout)

    def child(
        self,
        workflow: Workflow[T] | Definition,
        input_: object = None,
        /,
        *,
        id: str | None = None,  # noqa: A002 - the word for it everywhere
    ) -> Wait[T]:
        """Start another workflow and wait for what it returns.

        Args:
            workflow: what to start.
            input_: what it is given.
            id: the last part of its workflow id, behind this workflow's own and a slash; the key
                of the step by default.

        Raises:
            StepFailed: it failed or was cancelled, or its id is taken.
            InputInvalid: the input is not of the declared type.
        """
        definition = workflow if isinstance(workflow, Definition) else workflow.definition
        return ChildWait(self._engine, definition, input_, ident=id)

    # ── several at once ──────────────────────────────────────────────────────────────────────────

    @overload
    def gather(  # pyright: ignore[reportOverlappingOverload] - a list like asyncio's, typed as it is there
        self, a: Awaitable[T1], b: Awaitable[T2], /
    ) -> Wait[tuple[T1, T2]]: ...
    @overload
    def gather(
        self, a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], /
    ) -> Wait[tuple[T1, T2, T3]]: ...
    @overload
    def gather(
        self, a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], d: Awaitable[T4], /
    ) -> Wait[tuple[T1, T2, T3, T4]]: ...
    @overload
    def gather(self, *awaitables: Awaitable[T]) -> Wait[list[T]]: ...
    @overload
    def gather(
        self, *awaitables: Awaitable[T], return_exceptions: bool
    ) -> Wait[list[T | Exception]]: ...
    def gather(self, *awaitables: Awaitable[Any], return_exceptions: bool = False) -> Any:
        """Wait for several things at once: steps, or coroutines that await steps.

        Returns their results in the order given. When one fails, the others are told so by
        `Cancelled` and may clean up; when all have ended, the failure is raised.

        Args:
            awaitables: what to wait for.
            return_exceptions: give failures among the results instead.
        """
        return Gathering(
            self._engine,
            awaitables.__getitem__,
            size=len(awaitables),
            given=awaitables,
            return_exceptions=return_exceptions,
        )

    def map(
        self,
        function: Callable[[T1], Awaitable[T]],
        items: Iterable[T1],
        *,
        concurrency: int | None = None,
        return_exceptions: bool = False,
    ) -> Wait[list[T]]:
        """Wait for `function(item)` of all items, at most `concurrency` of them at a time.

        Fails like `gather`. The function is called when an item's turn comes.
        """
        listed = list(items)
        if concurrency is not None and concurrency < 1:
            raise DeclarationError(f"concurrency is {concurrency}, it must be 1 or more")
        return Gathering(
            self._engine,
            lambda place: function(listed[place]),
            size=len(listed),
            concurrency=concurrency,
            return_exceptions=return_exceptions,
        )

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def emit(self, value: object) -> None:
        """Tell whoever follows the workflow something; kept with this turn.

        Raises:
            InputInvalid: it has no JSON form.
            InputTooLarge: it is over the limit.
        """
        try:
            text = plain_json(value)
        except ValueError as error:
            raise InputInvalid(
                self.name, "an event", reason=str(error), workflow_id=self.workflow_id
            ) from None
        self._engine.emit(self._engine.fitting(text, field="an event", is_sent=True))

    def on_failure(self, actor: Callee[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call an actor if this execution fails from here on, is cancelled, or is too late.

        Compensations run one after the other, the last registered first. One that fails is kept in
        the history, and the others run nevertheless.

        Raises:
            InputInvalid: an argument has no JSON form.
            InputTooLarge: the arguments are over the limit.
        """
        self._engine.on_failure(CallWait(self._engine, actor, args, kwargs))

    def continue_as_new(self, input_: object = None, /) -> NoReturn:
        """End this execution and begin a new one of the same workflow, with an empty history.

        Signals that were not taken go to it. Compensations do not: what is registered is forgotten.

        Raises:
            InputInvalid: the input is not of the declared type.
            InputTooLarge: it is over the limit.
        """
        engine = self._engine
        text = engine.definition.input_from(input_, workflow_id=self.workflow_id)
        engine.continue_as_new(engine.fitting(text, field="the input of the next execution"))
        raise ContinueAsNew

    def patched(self, name: str) -> bool:
        """Return whether this execution has a change of the code.

        True for executions that come here for the first time now, and in all their replays; False
        for those that were here, or further, before the change was deployed.

        Raises:
            InvalidMessage: the name holds characters that cannot be printed, or too many.
        """
        return self._engine.patched(printable("the name of a patch", name))

    # ── what may differ, made equal in every replay ──────────────────────────────────────────────

    def now(self) -> datetime:
        """Return the time at which what happened last has happened."""
        return EPOCH + timedelta(milliseconds=self._engine.now_ms)

    def random(self) -> Random:
        """Return a source of random numbers of its own for each branch."""
        return self._engine.random_of_branch(Random)

    def uuid(self) -> UUID:
        """Return a random id."""
        return UUID(int=self.random().getrandbits(128), version=4)
