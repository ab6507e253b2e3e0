"""`Attempt`: one execution of one message, from lease to settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from octoqueue.broker.context import MessageContext
    from octoqueue.broker.executables import Executable, ShownMessage
    from octoqueue.broker.middleware import Hooks
    from octoqueue.broker.options import ActorOptions
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.messages import Lease
    from octoqueue.runtime.verdict import Ending


class Attempt:
    """What a worker knows of a message it runs. Compared and hashed by identity.

    What most attempts never say stands in the class, so that making one sets five attributes.
    """

    hooks: Hooks | None = None
    """dramatiq's middleware around this message; None when nobody listens."""
    message: ShownMessage | None = None
    """The message as dramatiq's middleware knows it, when it must be shown to some."""
    task: asyncio.Task[None] | None = None
    """What runs it on the loop, once it waits for something."""
    entered: float | None = None
    """When it really began; None while it waits for its turn on the loop or for a thread."""
    cpu_seconds: float = 0.0
    """What it has computed in a thread."""
    run_seconds: float = 0.0
    """How long it was in that thread."""
    in_thread: bool = False
    """It counts among those that run in a thread or wait for one."""
    thread_id: int | None = None
    """Set while a thread is inside the actor."""
    expired: bool = False
    """Its time limit is over."""
    notified: bool = False
    """It wished to be interrupted when its worker stops, and has been."""
    released: bool = False
    """The worker is stopping and hands it back."""
    cancelled: str | None = None
    """Why somebody has cancelled the message, None when nobody has."""
    ends_ms: int | None = None
    """When no further attempt may begin, in ms since the epoch: it expires or is due."""
    deadline_ms: int | None = None
    """When it is stopped, in ms since the epoch."""
    overdue: bool = False
    """Its deadline is over."""
    timer: asyncio.TimerHandle | None = None
    """Rings at its deadline."""
    ending: Ending | None = None
    """Set when the ending is known before it is over: while hooks are told of it."""

    def __init__(  # noqa: PLR0917 - called for every message
        self,
        lease: Lease,
        call: Call,
        executable: Executable,
        options: ActorOptions,
        context: MessageContext,
        began: float,
    ) -> None:
        self.lease = lease
        self.call = call
        self.executable = executable
        self.options = options
        """The actor's, with what the message itself says instead."""
        self.context = context
        self.began = began
        """When it was claimed, in seconds on the monotonic clock."""

    @property
    def header(self) -> Header:
        """The envelope's header."""
        return self.context.header

    @property
    def is_light(self) -> bool:
        """Whether it is an async actor by itself: no thread, no hooks, no batch."""
        return self.executable.is_async and self.hooks is None and self.options.batch is None

    @property
    def is_unwanted(self) -> bool:
        """Whether the message is not to be begun any more."""
        is_stopped = self.cancelled is not None or self.overdue
        return is_stopped or self.released or self.notified
