"""`JoinedWrites`: what is written to a connection in one turn of the loop leaves in one go.

A server writes the head of an answer and then its body. Each write is a system call, a packet, and
somebody woken at the other end; for a small answer that is more than half of what it costs.

The weakness: an answer leaves one turn of the loop later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_BYTES: Final = 64 * 1024
"""More than this leaves at once, so that whoever writes hears that nobody reads."""


class JoinedWrites:
    """A transport, but for its writes the one within."""

    def __init__(
        self, transport: asyncio.Transport, call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._pieces: list[bytes] = []
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the other has
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` after all that was written before, in a moment."""
        if not self._pieces:
            self._call_soon(self.flush)
        self._pieces.append(bytes(data))  # a buffer may be filled again before the turn ends
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            self.flush()

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Send several pieces, as `write` does."""
        self.write(b"".join(pieces))

    def flush(self) -> None:
        """Send now what was written."""
        pieces, self._pieces, self._bytes = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def write_eof(self) -> None:
        """Send what was written, and say that nothing follows."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what was written, and close."""
        self.flush()
        self._transport.close()
