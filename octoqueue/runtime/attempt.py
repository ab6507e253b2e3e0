"""`Attempt`: one execution of one message, from lease to settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from octoqueue.broker.context import MessageContext
    from octoqueue.broker.executables import Executable
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.messages import Lease


class Attempt:
    """What a worker knows of a message it runs. Compared and hashed by identity."""

    __slots__ = (
        "began",
        "call",
        "context",
        "executable",
        "expired",
        "forgotten",
        "header",
        "lease",
        "released",
        "task",
        "thread_id",
    )

    def __init__(
        self,
        lease: Lease,
        *,
        header: Header,
        call: Call,
        executable: Executable,
        context: MessageContext,
        began: float,
    ) -> None:
        self.lease = lease
        self.header = header
        self.call = call
        self.executable = executable
        self.context = context
        self.began = began
        """Seconds on the loop's clock."""
        self.task: asyncio.Task[None] | None = None
        self.thread_id: int | None = None
        """Set while a thread is inside the actor."""
        self.expired = False
        """Its time limit is over."""
        self.released = False
        """The worker is stopping and hands it back."""
        self.forgotten = False
        """Its lease is gone or settled; how it ends no longer matters."""
