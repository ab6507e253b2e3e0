"""`@octoqueue.workflow`: a durable async function, and how callers start it.

@octoqueue.workflow(signals={"approve": Approval})
async def order(ctx: octoqueue.WorkflowContext, wanted: Order) -> Receipt: ...

handle = await order.start(Order(17), id="order-17")
receipt = await handle.result()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from octoqueue.broker.default import default_broker
from octoqueue.errors import DeclarationError, InvalidMessage
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.producer.workflow_client import StartWish, WorkflowClient
from octoqueue.producer.workflow_handles import WorkflowHandle
from octoqueue.workflows.definitions import DEFINITIONS, define
from octoqueue.workflows.states import Complexity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import datetime, timedelta
    from typing import Protocol, TypedDict, Unpack

    from octoqueue.workflows.context import Context
    from octoqueue.workflows.definitions import Definition, Registry
    from octoqueue.workflows.executions import Execution

    class FetchingConnection(Protocol):
        """What is needed of a connection; asyncpg's have it, those of its pools too."""

        def fetch(self, query: str, *args: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401
            """Run one statement with positional arguments; return its rows."""
            ...

        def is_in_transaction(self) -> bool:
            """Return whether a transaction is open."""
            ...

    class StartOptions(TypedDict, total=False):
        """What a start may say; see `Workflow.start`."""

        id: str
        lane: Lane | str
        tenant: str
        complexity: Complexity | str
        deadline: timedelta | datetime


I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
I = TypeVar("I")  # noqa: E741 - as in the literature
O = TypeVar("O")  # noqa: E741


class Workflow(Generic[I_contra, O_co]):
    """A declared workflow function."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.__name__ = definition.name
        self.__doc__ = definition.function.__doc__

    def __repr__(self) -> str:
        """Return how it is shown."""
        return f"Workflow({self.definition.name!r}, version={self.definition.version})"

    def __call__(self, ctx: Any, /, *args: Any) -> Coroutine[Any, Any, O_co]:  # noqa: ANN401
        """Call the function here and now, with a ctx of your own: for unit tests."""
        return self.definition.function(ctx, *args)

    @overload
    async def start(
        self: Workflow[None, O], input_: None = ..., /, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[O]: ...
    @overload
    async def start(
        self: Workflow[I, O], input_: I, /, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[O]: ...
    async def start(
        self: Workflow[Any, Any], input_: Any = None, /, **options: Any
    ) -> WorkflowHandle[Any]:
        """Start it and return its handle; the same start again changes nothing.

        It is kept when this returns, whatever dies. Inside an actor it is started at once, also
        when the actor fails later: give it an `id` of the message's, then a retry starts it once.

        Args:
            input_: what the function is given; checked against its type before anything is sent.
            options: `id`, which makes the start idempotent (a new uuid7 by default); `lane`,
                `tenant`, `complexity` and `deadline` (a length or a moment) instead of what was
                declared.

        Raises:
            InputInvalid: the input is not of the declared type.
            InputTooLarge: it is over the limit (`workflows.max_value_bytes`).
            InvalidMessage: the id or an option is impossible; names it.
            WorkflowIdTaken: the id belongs to another workflow, or to a start with another input.
            LaneFull: its orchestrator has too much to do; nothing was started.
            StoreUnavailable: whether it was started is unknown; start it again with its id.
        """
        client = await WorkflowClient.here()
        started = await client.start(self.definition, input_, StartWish(**options))
        return self._handle_of(client, started.execution)

    @overload
    def send(
        self: Workflow[None, O], input_: None = ..., /, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[O]: ...
    @overload
    def send(
        self: Workflow[I, O], input_: I, /, **options: Unpack[StartOptions]
    ) -> WorkflowHandle[O]: ...
    def send(
        self: Workflow[Any, Any], input_: Any = None, /, **options: Any
    ) -> WorkflowHandle[Any]:
        """Start it from synchronous code; blocks until it is kept. Takes and raises as `start`.

        It goes by the configuration of the process, whatever client the caller's loop has.
        """
        starting: Coroutine[Any, Any, WorkflowHandle[Any]] = self.start(input_, **options)
        return default_broker().run_blocking(starting)

    @overload
    async def start_in(
        self: Workflow[None, O],
        connection: FetchingConnection,
        input_: None = ...,
        /,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[O]: ...
    @overload
    async def start_in(
        self: Workflow[I, O],
        connection: FetchingConnection,
        input_: I,
        /,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[O]: ...
    async def start_in(
        self: Workflow[Any, Any],
        connection: FetchingConnection,
        input_: Any = None,
        /,
        **options: Any,
    ) -> WorkflowHandle[Any]:
        """Start it if the transaction of a connection commits; takes and raises what `start` does.

        Nobody is nudged: whoever holds its partition finds it some seconds after the commit. The
        connection must be one to the database that keeps workflows.

        Raises:
            DeclarationError: no transaction is open, or workflows are kept in several databases.
        """
        client = await WorkflowClient.here()
        write: Any = getattr(client.store, "start_in", None)
        if write is None:
            raise DeclarationError(
                "start_in needs workflows that are kept in one PostgreSQL database, because a "
                "transaction is of one; leave out workflows.shards, or commit first and call "
                "start, with an id so that it may be called again"
            )
        if not connection.is_in_transaction():
            raise DeclarationError(
                "start_in needs a connection with an open transaction: without one the start would "
                "not be bound to anything; use `async with connection.transaction():`"
            )
        new = client.new_execution(self.definition, input_, StartWish(**options))
        (started,) = await write(connection, [new])
        return self._handle_of(client, started.execution)

    def handle_of(self, id: str, /) -> WorkflowHandle[O_co]:  # noqa: A002 - the word for it everywhere
        """Return the handle of a workflow of this kind that was started before.

        Raises:
            InvalidMessage: the id is none.
        """
        return WorkflowHandle(id, definition=self.definition)

    def _handle_of(self, client: WorkflowClient, execution: Execution) -> WorkflowHandle[Any]:
        return WorkflowHandle(
            execution.workflow_id,
            definition=self.definition,
            execution=execution,
            known_at=client.clock.monotonic(),
        )


if TYPE_CHECKING:

    class _Decorator(Protocol):
        @overload
        def __call__(self, fn: Callable[[Context], Awaitable[O]], /) -> Workflow[None, O]: ...
        @overload
        def __call__(self, fn: Callable[[Context, I], Awaitable[O]], /) -> Workflow[I, O]: ...


@overload
def workflow(fn: Callable[[Context], Awaitable[O]], /) -> Workflow[None, O]: ...
@overload
def workflow(fn: Callable[[Context, I], Awaitable[O]], /) -> Workflow[I, O]: ...
@overload
def workflow(
    *,
    name: str | None = ...,
    version: int = ...,
    signals: Mapping[str, Any] | None = ...,
    lane: Lane | str = ...,
    complexity: Complexity | str = ...,
    deadline: timedelta | None = ...,
    registry: Registry = ...,
) -> _Decorator: ...
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    signals: Mapping[str, Any] | None = None,
    lane: Lane | str = Lane.NORMAL,
    complexity: Complexity | str = Complexity.MEDIUM,
    deadline: timedelta | None = None,
    registry: Registry = DEFINITIONS,
) -> Any:
    """Declare a durable async function: `async def f(ctx)` or `async def f(ctx, input)`.

    Args:
        fn: the function, when the decorator is used without parentheses.
        name: its name; the function's own by default.
        version: of the function; an execution keeps the one it was started with.
        signals: the types of the signals it takes, by name; by default it takes any.
        lane: of its steps and letters, unless a start says otherwise.
        complexity: `low`, `medium` or `high`, unless a start says otherwise.
        deadline: how long an execution may last, unless a start says otherwise.
        registry: where it is declared; the process-wide one by default.

    Raises:
        DeclarationError: the function or an option cannot be used; names the workflow.
    """

    def decorate(function: Callable[..., Any]) -> Workflow[Any, Any]:
        owner = f"workflow {name or getattr(function, '__name__', function)!r}"
        try:
            in_lane, demanding = lane_from(lane), Complexity(complexity)
        except (InvalidMessage, ValueError) as error:
            raise DeclarationError(f"{owner}: {error}") from None
        return Workflow(
            define(
                function,
                name=name,
                version=version,
                signals=signals,
                lane=in_lane,
                complexity=demanding,
                deadline=deadline,
                registry=registry,
            )
        )

    return decorate if fn is None else decorate(fn)
