"""The parent's side of a comparison: the same measurement for every queue.

A drain is timed in its middle: a queue is filled with more than is counted, the workers are told to
go on together, and the time runs from when the surplus has run (and every process has run
something) until the last one has begun. So neither the start of a process counts nor what a worker
does the first time, and what it still has to acknowledge at the end does not either: that favours
whoever acknowledges one by one. CPU is what the processes and their children used meanwhile.

Weakness: CPU is counted in ticks of the system, 10 ms mostly, so short drains give it roughly.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.child import Child
from bench.figures import percentile
from bench.peers.play import SENDERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from bench.harness import Bench

RATE = 300
_ARRIVALS = 900
_WARM_ARRIVALS = 60
_NAPS = 2_500
_NAPS_TO_WARM = 600
_LOW = 10_000
_HIGH = 100
_LOW_BEFORE = 250
_LOOK_AGAIN_SECONDS = 0.005
_SHARED = Path("/dev/shm")  # noqa: S108 - files that are mapped belong in memory
_IN_MEMORY = _SHARED if _SHARED.is_dir() else None
_WARM_SENDS = 200
_STALLED_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A queue with one tuning."""

    name: str
    adapter: str
    """The module below `bench.peers.adapters`."""
    python: str
    """The interpreter of its environment."""
    can: frozenset[str]
    """What it has: the verbs below, and the ways to send: `each`, `together`, `bulk`."""
    drains: int
    """Messages it drains in a second or so."""
    sends: int
    """Messages it sends one by one in a second or so."""
    tuning: str
    """In words, for whoever doubts it."""
    order: Mapping[str, object]
    """The tuning for messages that do nothing."""
    naps: Mapping[str, object]
    """The tuning for 500 that wait at once."""
    ranks: Mapping[str, object]
    """The tuning for priorities."""


class Seen(NamedTuple):
    """What the tallies say."""

    counts: list[int]
    last_ns: int

    @property
    def total(self) -> int:
        """Return how many ran, in all processes."""
        return sum(self.counts)


class Play:
    """One performance of a peer: its processes and the folder of their tallies."""

    def __init__(self, peer: Peer, url: str, folder: str, stack: AsyncExitStack) -> None:
        self._peer = peer
        self._url = url
        self._folder = folder
        self._stack = stack

    async def sender(self, task: str, how: str, count: int, **more: object) -> Child:
        """Start a process that is ready to send."""
        facts = {"task": task, "how": how, "count": count, "warm": 0} | more
        child = await self._child("send", **facts)
        await child.expect("ready")
        return child

    async def workers(self, tuning: Mapping[str, object], processes: int) -> list[Worker]:
        """Start workers that are ready to run."""
        children = [await self._child("work", **tuning) for _ in range(processes)]
        return [Worker(child, (await child.expect("ready"))["pid"]) for child in children]

    async def _child(self, what: str, **facts: object) -> Child:
        module = f"bench.peers.adapters.{self._peer.adapter}"
        common = {"url": self._url, "folder": self._folder, "what": what}
        order = common | dict(self._peer.order) | facts
        child = Child(module, python=self._peer.python, **order)
        return await self._stack.enter_async_context(child)

    def seen(self, name: str) -> Seen:
        """Read the tallies of that name."""
        pairs = [path.read_bytes() for path in Path(self._folder).glob(f"{name}.*")]
        numbers = [
            (int.from_bytes(pair[:8], "little"), int.from_bytes(pair[8:], "little"))
            for pair in pairs
        ]
        return Seen([count for count, _ in numbers], max((ns for _, ns in numbers), default=0))

    async def until(self, name: str, enough: Callable[[Seen], bool]) -> Seen:
        """Wait for the tallies of that name.

        Raises:
            RuntimeError: nothing was counted for long.
        """
        seen, moved = self.seen(name), time.monotonic()
        while not enough(seen):
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            before, seen = seen, self.seen(name)
            if seen.total != before.total:
                moved = time.monotonic()
            elif time.monotonic() - moved > _STALLED_SECONDS:
                raise RuntimeError(f"nothing ran any more after {seen.total} messages")
        return seen


class Worker(NamedTuple):
    """A worker process."""

    child: Child
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and of all below it."""
        return sum(_cpu_seconds(pid) for pid in _family(self.pid))


def _family(pid: int) -> list[int]:
    below: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for word in children.read_text(encoding="ascii").split():
            below += _family(int(word))
    return [pid, *below]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def played(peer: Peer, bench: Bench) -> AsyncIterator[Play]:
    """Give a stage for the processes of one measurement."""
    with tempfile.TemporaryDirectory(prefix="oqb-", dir=_IN_MEMORY) as folder:
        async with AsyncExitStack() as stack:
            yield Play(peer, bench.server.url, folder, stack)


async def drain(
    peer: Peer, bench: Bench, *, processes: int = 1, task: str = "noop"
) -> dict[str, float]:
    """Drain messages that do nothing."""
    surplus = max(peer.drains // 5 // SENDERS, 2) * SENDERS * processes
    count = peer.drains + surplus
    async with played(peer, bench) as play:
        before = await bench.server.memory_bytes()
        async with played(peer, bench) as filling:
            await _fill(filling, peer, task, count)
        each_bytes = (await _settled_bytes(bench) - before) / count
        workers = await play.workers(peer.order, processes)
        figures = await _drained(play, bench, workers, surplus, count)
    return figures | {"Redis bytes": each_bytes}


async def _fill(play: Play, peer: Peer, task: str, count: int) -> None:
    """Send so many messages in the quickest way."""
    how = next(how for how in ("bulk", "together", "each") if how in peer.can)
    sender = await play.sender(task, how, count)
    sender.go_on()
    await sender.expect("sent")


async def _settled_bytes(bench: Bench) -> int:
    """Return the memory of the server when it has let go of who has just left."""
    before = await bench.server.memory_bytes()
    while True:
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        after = await bench.server.memory_bytes()
        if after >= before:
            return after
        before = after


async def nap(peer: Peer, bench: Bench) -> dict[str, float]:
    """Drain messages that wait 20 ms, 500 at once."""
    async with played(peer, bench) as play:
        await _fill(play, peer, "nap", _NAPS + _NAPS_TO_WARM)
        workers = await play.workers(peer.naps, 1)
        return await _drained(play, bench, workers, _NAPS_TO_WARM, _NAPS + _NAPS_TO_WARM)


async def _drained(
    play: Play, bench: Bench, workers: Sequence[Worker], surplus: int, total: int
) -> dict[str, float]:
    for worker in workers:
        worker.child.go_on()

    def all_are_warm(seen: Seen) -> bool:
        at_work = sum(count > 0 for count in seen.counts)
        return seen.total >= surplus and at_work >= len(workers)

    began = await play.until("ran", all_are_warm)
    cpu_began = sum(worker.cpu_seconds() for worker in workers)
    usage_began = await bench.server.usage()
    ended = await play.until("ran", lambda seen: seen.total >= total)
    cpu_ended = sum(worker.cpu_seconds() for worker in workers)
    spent = await bench.server.usage() - usage_began
    count = ended.total - began.total
    if count < (total - surplus) // 3:
        raise RuntimeError(f"only {count} of {total} messages were left when all had begun")
    return {
        "messages/s": count / (ended.last_ns - began.last_ns) * 1e9,
        "worker CPU µs": (cpu_ended - cpu_began) / count * 1e6,
        "Redis CPU µs": spent.cpu_seconds / count * 1e6,
        "Redis commands": spent.commands / count,
    }


async def enqueue(peer: Peer, bench: Bench, *, how: str) -> dict[str, float]:
    """Send messages: one by one, from a hundred coroutines, or in calls of a thousand."""
    count = peer.sends * {"each": 1, "together": 2, "bulk": 4}[how]
    async with played(peer, bench) as play:
        sender = await play.sender("noop", how, count, warm=_WARM_SENDS)
        sender.go_on()
        sent = await sender.expect("sent")
    return {
        "per second": count / sent["seconds"],
        "producer CPU µs": sent["cpu_seconds"] / count * 1e6,
    }


async def latency(peer: Peer, bench: Bench) -> dict[str, float]:
    """Send messages that note how late they begin, at a fixed rate, to an idle worker."""
    async with played(peer, bench) as play:
        count = _ARRIVALS + _WARM_ARRIVALS
        sender = await play.sender("stamp", "arrivals", count, rate=RATE)
        (worker,) = await play.workers(peer.order, 1)
        worker.child.go_on()
        sender.go_on()
        await play.until("ran", lambda seen: seen.total >= count)
        worker.child.go_on()
        stamps: list[Any] = (await worker.child.expect("stamped"))["stamps"]
    late_ns = [late for _, late in sorted(stamps)[_WARM_ARRIVALS:]]
    return {
        "P50 ms": percentile(late_ns, 0.50) / 1e6,
        "P99 ms": percentile(late_ns, 0.99) / 1e6,
        "max ms": max(late_ns) / 1e6,
    }


async def priority(peer: Peer, bench: Bench) -> dict[str, float]:
    """Send urgent messages behind many others, each with a millisecond of CPU."""
    async with played(peer, bench) as play:
        how = "together" if "together" in peer.can else "each"
        low = await play.sender("spin", how, _LOW, **peer.ranks)
        low.go_on()
        await low.expect("sent")
        high = await play.sender("spin", how, _HIGH, urgent=True, warm=_WARM_SENDS, **peer.ranks)
        (worker,) = await play.workers(peer.ranks, 1)
        worker.child.go_on()
        await play.until("ran", lambda seen: seen.total >= _LOW_BEFORE)
        high.go_on()
        began_ns = (await high.expect("sent"))["began_ns"]
        ended = await play.until("urgent", lambda seen: seen.total >= _HIGH)
    return {"ms": (ended.last_ns - began_ns) / 1e6}
