"""A network between a client and Redis, as far as latency goes: a TCP proxy that delays both ways.

A process of its own. Every piece that arrives leaves half of the round trip later, in the same
order; nothing is lost and the bandwidth is the machine's. Threads that sleep, since the timers of
an event loop are only good to a millisecond.

What it costs besides the latency it is there for: two more copies of every byte through the kernel,
and CPU of the machine that is measured: some 0.2 ms for a request and its answer. `PING` in the
scenario `network` shows what it really is.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from queue import SimpleQueue

from bench.child import order, say, told

_PIECE_BYTES = 1 << 18


class Direction:
    """Carries bytes from one socket to another, each piece so much later."""

    def __init__(self, source: socket.socket, sink: socket.socket, delay_seconds: float) -> None:
        self._source, self._sink, self._delay_seconds = source, sink, delay_seconds
        self._under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        for work in (self._take, self._give):
            threading.Thread(target=work, daemon=True).start()

    def _take(self) -> None:
        piece = b"?"
        while piece:
            try:
                piece = self._source.recv(_PIECE_BYTES)
            except OSError:
                piece = b""
            self._under_way.put((time.monotonic() + self._delay_seconds, piece))

    def _give(self) -> None:
        try:
            while True:
                due, piece = self._under_way.get()
                if (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                if not piece:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                self._sink.sendall(piece)
        except OSError:
            self._source.close()  # the other side has gone: nothing more is taken


def serve(listening: socket.socket, unix_path: str, delay_seconds: float) -> None:
    """Take connections until the process ends."""
    while True:
        near, _ = listening.accept()
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = socket.socket(socket.AF_UNIX)
        far.connect(unix_path)
        Direction(near, far, delay_seconds)
        Direction(far, near, delay_seconds)


def main() -> None:
    """Do what was ordered, until the parent goes away."""
    ordered = order()
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    work = (listening, ordered["unix_path"], ordered["round_trip_ms"] / 2e3)
    threading.Thread(target=serve, args=work, daemon=True).start()
    say("ready", port=listening.getsockname()[1])
    asyncio.run(told())


if __name__ == "__main__":
    main()
