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
    """What a worker knows of a message it runs. Compared and hashed by identity."""

    __slots__ = (
        "began",
        "call",
        "cancelled",
        "context",
        "deadline_ms",
        "ending",
        "ends_ms",
        "entered",
        "executable",
        "expired",
        "header",
        "hooks",
        "lease",
        "message",
        "notified",
        "options",
        "overdue",
        "released",
        "task",
        "thread_id",
        "timer",
    )

    def __init__(
        self,
        lease: Lease,
        *,
        header: Header,
        call: Call,
        executable: Executable,
        options: ActorOptions,
        context: MessageContext,
        began: float,
    ) -> None:
        self.lease = lease
        self.header = header
        self.call = call
        self.executable = executable
        self.options = options
        """The actor's, with what the message itself says instead."""
        self.context = context
        self.began = began
        """When it was claimed, in seconds on the monotonic clock."""
        self.hooks: Hooks | None = None
        """dramatiq's middleware around this message; None when nobody listens."""
        self.message: ShownMessage | None = None
        """The message as dramatiq's middleware knows it, when it must be shown to some."""
        self.task: asyncio.Task[None] | None = None
        self.entered: float | None = None
        """When it really began; None while it waits for its turn on the loop or for a thread."""
        self.thread_id: int | None = None
        """Set while a thread is inside the actor."""
        self.expired = False
        """Its time limit is over."""
        self.notified = False
        """It wished to be interrupted when its worker stops, and has been."""
        self.released = False
        """The worker is stopping and hands it back."""
        self.cancelled: str | None = None
        """Why somebody has cancelled the message, None when nobody has."""
        self.ends_ms: int | None = None
        """When no further attempt may begin, in ms since the epoch: it expires or is due."""
        self.deadline_ms: int | None = None
        """When it is stopped, in ms since the epoch."""
        self.overdue = False
        """Its deadline is over."""
        self.timer: asyncio.TimerHandle | None = None
        """Rings at its deadline."""
        self.ending: Ending | None = None
        """Set when the ending is known before it is over: while hooks are told of it."""

    @property
    def is_unwanted(self) -> bool:
        """Whether the message is not to be begun any more."""
        is_stopped = self.cancelled is not None or self.overdue
        return is_stopped or self.released or self.notified
