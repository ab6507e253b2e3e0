"""`Lifeline`: how a supervisor and its child know of each other.

A pair of connected sockets; the child's end is its standard input. When the supervisor dies, by
whatever death, the kernel closes its end, the child reads the end of its input, and stops. In the
other direction the child sends one line when it is ready for work. Pids, which come again, play no
part, and Linux and macOS behave alike.

The weakness: whoever forks from the supervisor without exec holds its end open as well. And a child
whose event loop is blocked hears of the death only when it is free again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_READY = b"ready\n"
_STANDARD_INPUT = 0


class Lifeline(Protocol):
    """What binds a process to who has started it, as the process sees it."""

    def say_ready(self) -> None:
        """Tell that this process does its work; one that is not there any more does not matter."""
        ...

    def say_leaving(self) -> None:
        """Note that this process is about to end, whatever comes."""
        ...

    def watch(
        self, on_end: Callable[[], None], *, on_retire: Callable[[], None] | None = None
    ) -> None:
        """Call `on_end` on the running loop, once, when it is time to end.

        `on_retire` is called, where there is one, when it is to end once it has nothing to do.
        """
        ...


class ParentEnd:
    """The supervisor's end."""

    def __init__(self) -> None:
        """Connect a new pair."""
        self._socket, self._child = socket.socketpair()
        self._socket.settimeout(0)  # sock_recv wants it so

    @property
    def child(self) -> int:
        """The descriptor that is to be the child's standard input."""
        return self._child.fileno()

    def handed_over(self) -> None:
        """Close our copy of the child's end: from now on only the child holds it."""
        self._child.close()

    async def becomes_ready(self) -> bool:
        """Return True when the child says that it is ready, False when it ended before."""
        loop = asyncio.get_running_loop()
        said = b""
        while not said.endswith(b"\n"):
            try:
                part = await loop.sock_recv(self._socket, len(_READY))
            except ConnectionError:
                return False
            if not part:
                return False
            said += part
        return said == _READY

    def close(self) -> None:
        """Let go; a child that still lives will stop. Idempotent."""
        self._socket.close()
        self._child.close()


class ChildEnd:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        """Own `descriptor`."""
        self._descriptor = descriptor

    @classmethod
    def on_standard_input(cls) -> ChildEnd:
        """Take the end over; what reads standard input from now on finds it empty."""
        descriptor = os.dup(_STANDARD_INPUT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _STANDARD_INPUT)
        os.close(nothing)
        return cls(descriptor)

    def say_ready(self) -> None:
        """Tell the supervisor that this process does its work; a dead one does not matter."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, _READY)

    def say_leaving(self) -> None:
        """Do nothing: a supervisor that dies meanwhile makes it more urgent."""

    def watch(
        self, on_end: Callable[[], None], *, on_retire: Callable[[], None] | None = None
    ) -> None:
        """Call `on_end` on the running loop, once, when the supervisor has let go or died."""
        del on_retire  # a supervisor wants everybody or nobody
        loop = asyncio.get_running_loop()

        def look() -> None:
            try:
                rest = os.read(self._descriptor, 64)
            except BlockingIOError:
                return
            except OSError:
                rest = b""
            if not rest:
                loop.remove_reader(self._descriptor)
                on_end()

        os.set_blocking(self._descriptor, False)
        loop.add_reader(self._descriptor, look)

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)
