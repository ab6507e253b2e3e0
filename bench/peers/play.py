"""The child's side of a comparison: what every adapter does in the same way.

An adapter is started as `python -m bench.peers.adapters.<name> <order>`, in the interpreter of its
own environment, either to `work` or to `send`. It tells us how to start its worker and how to send
one message; the bodies of the tasks, the counting and the timing are here, so that they cost every
queue the same.

A worker counts what it ran in a file of two numbers that the parent has mapped too: how many, and
when the last one began. Nothing is said over pipes while it is timed. Only the standard library is
imported: this module runs in the environment of every peer.

Weakness: a tick costs about a third of a microsecond, which burdens the fastest queue most.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import mmap
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.child import order, say, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

NAP_SECONDS = 0.02
SPIN_NS = 1_000_000
SENDERS = 100
"""Coroutines that send together."""
_TALLY_BYTES = 16
_HEAD_START_NS = 50_000_000


class Tally:
    """Counts in a mapped file: how many so far, and when the last was counted."""

    def __init__(self, folder: str, name: str) -> None:
        path = Path(folder) / f"{name}.{os.getpid()}"
        with path.open("w+b") as file:
            file.truncate(_TALLY_BYTES)
            self._numbers = memoryview(mmap.mmap(file.fileno(), _TALLY_BYTES)).cast("q")
        self._lock = threading.Lock()
        self._count = 0

    def tick(self) -> None:
        """Count one, in whatever thread."""
        with self._lock:
            self._count += 1
            self._numbers[1] = time.monotonic_ns()
            self._numbers[0] = self._count


class Bodies:
    """What the tasks do. An adapter wraps each in a task of its queue."""

    def __init__(self, folder: str) -> None:
        self._ran = Tally(folder, "ran")
        self._urgent = Tally(folder, "urgent")
        self.stamps: list[tuple[int, int]] = []

    def noop(self) -> None:
        """Do nothing."""
        self._ran.tick()

    async def nap(self) -> None:
        """Wait on the loop, as for a network."""
        await asyncio.sleep(NAP_SECONDS)
        self._ran.tick()

    def nap_in_thread(self) -> None:
        """Wait in a thread, as for a network."""
        time.sleep(NAP_SECONDS)
        self._ran.tick()

    def stamp(self, due_ns: int) -> None:
        """Note how long after it was due this began."""
        self.stamps.append((due_ns, time.monotonic_ns() - due_ns))
        self._ran.tick()

    def spin(self, *, urgent: bool) -> None:
        """Use up a millisecond of this thread's CPU."""
        end = time.thread_time_ns() + SPIN_NS
        while time.thread_time_ns() < end:
            pass
        (self._urgent if urgent else self._ran).tick()


class Order(NamedTuple):
    """What the parent wants."""

    url: str
    what: str
    folder: str
    facts: dict[str, Any]
    """What only one of the two needs, and the tuning of the adapter."""

    @property
    def socket(self) -> str:
        """Return the path of the Unix socket in `url`."""
        return self.url.removeprefix("unix://").partition("?")[0]

    @property
    def wide_url(self) -> str:
        """Return `url` for redis-py with more connections in a pool than the hundred it allows."""
        return f"{self.url}{'&' if '?' in self.url else '?'}max_connections=2000"

    def number(self, name: str, default: int = 0) -> int:
        """Return a number of the tuning."""
        return int(self.facts.get(name, default))


class Post(NamedTuple):
    """How messages are sent."""

    send: Callable[..., Any]
    """Sends one: given the name of the task, its arguments, and whether it is urgent."""
    bulk: Callable[[str, int], Any] | None = None
    """Sends so many of a task in one call, where the queue has such a thing."""


def ordered() -> Order:
    """Return the order, in a child."""
    facts = order()
    return Order(facts["url"], facts["what"], facts["folder"], facts)


def _speak_alone() -> None:
    """Keep standard output for what we say; what anybody else prints goes to the log."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = os.fdopen(own, "w", encoding="utf-8")


@functools.cache
def bodies() -> Bodies:
    """Return the bodies of this process, always the same ones."""
    return Bodies(ordered().folder)


def ready() -> None:
    """Wait until the parent lets the worker run; answer its questions from then on.

    To be called before the worker has threads, so that there is one set of bodies.
    """
    of = bodies()

    def answer() -> None:
        while sys.stdin.readline():
            say("stamped", stamps=of.stamps)

    say("ready", pid=os.getpid())
    sys.stdin.readline()
    threading.Thread(target=answer, daemon=True).start()


def play(
    work: Callable[[Order], object],
    post: Callable[[Order], AbstractContextManager[Post]],
) -> None:
    """Do what was ordered, with a client that blocks."""
    _speak_alone()
    wanted = ordered()
    if wanted.what == "work":
        work(wanted)
        return
    with post(wanted) as how:
        _send(wanted, how)


def play_async(
    work: Callable[[Order], Awaitable[object]],
    post: Callable[[Order], AbstractAsyncContextManager[Post]],
    *,
    run: Callable[[Any], object],
) -> None:
    """Do what was ordered, with a client for asyncio; `run` runs a coroutine to its end."""
    _speak_alone()
    wanted = ordered()

    async def send() -> None:
        async with post(wanted) as how:
            await _asend(wanted, how)

    run(work(wanted) if wanted.what == "work" else send())


class Load(NamedTuple):
    """What is to be sent."""

    task: str
    how: str
    warm: int
    times: int
    urgent: bool
    rate: int


def _load(wanted: Order) -> Load:
    facts = wanted.facts
    return Load(
        facts["task"],
        facts["how"],
        facts["warm"],
        facts["count"],
        facts.get("urgent", False),
        facts.get("rate", 0),
    )


def _arguments(load: Load, *, urgent: bool) -> tuple[Any, ...]:
    return (urgent,) if load.task == "spin" else ()


def _send(wanted: Order, how: Post) -> None:
    load = _load(wanted)
    first, arguments = (_arguments(load, urgent=urgent) for urgent in (False, load.urgent))
    if load.how == "arrivals":
        say("ready")
        sys.stdin.readline()
        for due_ns in _due(load):
            time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
            how.send(load.task, (due_ns,), urgent=False)
        say("sent")
        return
    for _ in range(load.warm):
        how.send(load.task, first, urgent=False)
    say("ready")
    sys.stdin.readline()
    with _timed():
        if load.how == "bulk":
            assert how.bulk is not None
            how.bulk(load.task, load.times)
        else:
            for _ in range(load.times):
                how.send(load.task, arguments, urgent=load.urgent)


async def _asend(wanted: Order, how: Post) -> None:
    load = _load(wanted)
    first, arguments = (_arguments(load, urgent=urgent) for urgent in (False, load.urgent))
    if load.how == "arrivals":
        say("ready")
        await told()
        await _arrive(load, how)
        say("sent")
        return
    for _ in range(load.warm):
        await how.send(load.task, first, urgent=False)
    say("ready")
    await told()
    with _timed():
        if load.how == "bulk":
            assert how.bulk is not None
            await how.bulk(load.task, load.times)
        elif load.how == "together":
            await asyncio.gather(
                *(_repeat(load, how, arguments, load.times // SENDERS) for _ in range(SENDERS))
            )
        else:
            await _repeat(load, how, arguments, load.times)


async def _repeat(load: Load, how: Post, arguments: tuple[Any, ...], times: int) -> None:
    for _ in range(times):
        await how.send(load.task, arguments, urgent=load.urgent)


async def _arrive(load: Load, how: Post) -> None:
    """Send each message when it is due; a thread keeps the time, better than a loop's timers."""
    loop = asyncio.get_running_loop()
    sends: list[asyncio.Future[Any]] = []

    def launch(due_ns: int) -> None:
        sends.append(asyncio.ensure_future(how.send(load.task, (due_ns,), urgent=False)))

    def keep_time() -> None:
        for due_ns in _due(load):
            time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
            loop.call_soon_threadsafe(launch, due_ns)

    await asyncio.to_thread(keep_time)
    await asyncio.gather(*sends)


def _due(load: Load) -> list[int]:
    start_ns = time.monotonic_ns() + _HEAD_START_NS
    return [start_ns + number * 1_000_000_000 // load.rate for number in range(load.times)]


@contextlib.contextmanager
def _timed() -> Iterator[None]:
    """Say how long the block took."""
    began_ns, cpu_began = time.monotonic_ns(), time.process_time()
    yield
    say(
        "sent",
        began_ns=began_ns,
        seconds=(time.monotonic_ns() - began_ns) / 1e9,
        cpu_seconds=time.process_time() - cpu_began,
    )
