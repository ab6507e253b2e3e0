"""`ActorThreads` by itself: who is woken, in which threads jobs run, and that none is lost."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from dramatiq.middleware import Middleware

import octoqueue
from octoqueue.runtime.executor import Executor
from octoqueue.runtime.threads import ActorThreads
from tests.running import PATIENCE_SECONDS, WatchedStore, broker_on, running, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.primitives.ids import MessageId


class CountedLoop:
    """The running loop, with every wake-up from another thread counted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the loop has
        return getattr(self._loop, name)

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Count, and pass on."""
        self.woken += 1
        self._loop.call_soon_threadsafe(callback)


def threads_on(
    loop: Any = None,  # noqa: ANN401 - a loop or what stands in for one
    *,
    threads: int = 100,
    announce: Callable[[str, threading.Thread], None] = lambda *_: None,
) -> ActorThreads:
    """Threads for `call` only."""
    return ActorThreads(
        loop or asyncio.get_running_loop(),
        threads=threads,
        around=lambda attempt, call: call(attempt),
        on_ended=lambda *_: None,
        announce=announce,
    )


def calls(threads: ActorThreads, *functions: Callable[[], object]) -> asyncio.Future[list[object]]:
    """Hand functions over in this very turn of the loop."""
    return asyncio.gather(*(threads.call(function) for function in functions))


async def together(awaitable: asyncio.Future[list[object]]) -> list[object]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await awaitable


async def test_jobs_that_wait_for_each_other_all_run_at_once() -> None:
    threads, barrier = threads_on(threads=50), threading.Barrier(50)

    def job() -> int:
        barrier.wait()
        return threading.get_ident()

    assert len(set(await together(calls(threads, *[job] * 50)))) == 50
    threads.close()


async def test_there_are_never_more_threads_than_allowed_and_every_job_runs() -> None:
    seen, lock = set[int](), threading.Lock()

    def job(number: int) -> int:
        with lock:
            seen.add(threading.get_ident())
        if number % 7 == 0:
            time.sleep(0.001)
        return number

    threads, seed = threads_on(threads=5), random.randrange(1_000_000)
    rng = random.Random(seed)
    for _ in range(100):
        numbers = range(rng.randrange(1, 40))
        answers = await together(calls(threads, *[partial(job, number) for number in numbers]))
        assert answers == list(numbers), f"seed {seed}"
    assert len(seen) <= 5
    threads.close()


async def test_a_thread_that_is_idle_is_used_again_before_another_is_made() -> None:
    threads = threads_on()
    idents = [(await together(calls(threads, threading.get_ident)))[0] for _ in range(50)]
    # The next job may come before the thread that told the last ending has lain down.
    assert len(set(idents)) <= 2
    threads.close()


async def test_the_loop_is_woken_once_for_all_that_ends_before_it_comes_by() -> None:
    loop, left = CountedLoop(), 100
    threads = threads_on(loop, threads=3)
    lock, last = threading.Lock(), threading.Event()

    def job() -> None:
        nonlocal left
        with lock:
            left -= 1
        if not left:
            last.set()

    waiting = calls(threads, *[job] * 100)
    await asyncio.sleep(0)  # now they are handed over
    assert last.wait(PATIENCE_SECONDS)  # the loop is held until the last job runs
    await together(waiting)
    assert loop.woken <= 1 + 3  # all at once, but for what the threads were just about to tell
    threads.close()


async def test_a_slow_hook_at_the_beginning_of_threads_is_run_by_all_of_them_at_once() -> None:
    barrier = threading.Barrier(8)
    told: list[str] = []

    def announce(hook: str, _: threading.Thread) -> None:
        told.append(hook)
        barrier.wait()

    threads = threads_on(threads=8, announce=announce)
    await together(calls(threads, *[lambda: None] * 8))
    threads.close()
    await asyncio.to_thread(threads.join, PATIENCE_SECONDS)
    assert told == ["after_worker_thread_boot"] * 8 + ["before_worker_thread_shutdown"] * 8


async def test_an_ending_that_cannot_be_delivered_holds_up_no_other() -> None:
    delivered: list[object] = []
    unheard = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: unheard.append(facts))
    threads = threads_on()

    def deliver(subject: object, *_: object) -> None:
        if subject == 0:
            raise RuntimeError("broken")
        delivered.append(subject)

    for number in range(3):
        threads._end(deliver, number, None, None)
    await until(lambda: len(delivered) == 2)
    assert delivered == [1, 2]
    assert [str(facts["exception"]) for facts in unheard] == ["broken"]
    threads.close()


async def test_without_any_thread_the_job_is_refused_and_does_not_run_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, ran = threads_on(), list[str]()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            await threads.call(lambda: ran.append("first"))
    await threads.call(lambda: ran.append("second"))
    assert ran == ["second"]
    threads.close()


async def test_what_waits_when_the_threads_are_closed_is_not_begun() -> None:
    threads, ran = threads_on(threads=1), list[str]()
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        go_on.wait()

    waiting = calls(threads, first, lambda: ran.append("second"))
    await until(begun.is_set)
    threads.close()
    go_on.set()
    await asyncio.to_thread(threads.join, PATIENCE_SECONDS)
    assert ran == []
    assert not any(thread.is_alive() for thread in threads._threads)
    waiting.cancel()


async def test_a_message_cancelled_while_hooks_run_before_it_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The interrupt comes too early for the actor's thread, and there is only one."""
    inside, go_on, ran = threading.Event(), threading.Event(), list[str]()
    cancel = Executor.cancel

    def cancel_and_go_on(self: Executor, message_id: MessageId, reason: str) -> bool:
        found = cancel(self, message_id, reason)
        go_on.set()
        return found

    monkeypatch.setattr(Executor, "cancel", cancel_and_go_on)

    class Slow(Middleware):
        def before_process_message(self, *_: object) -> None:
            inside.set()
            go_on.wait(PATIENCE_SECONDS)

    store = WatchedStore()
    broker = broker_on(store, middleware=[Slow()])

    @octoqueue.actor(broker=broker)
    def work() -> None:
        ran.append("ran")

    async with running(broker) as worker:
        handle = await work.asend()
        await until(inside.is_set)
        await handle.acancel("the user left")
        await until(lambda: worker._claimer.free == worker.options.concurrency)
    assert ran == []
    assert (await store.stats("default")).counters["cancelled"] == 1
