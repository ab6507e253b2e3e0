"""The bridge from threads without an event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from octoqueue.broker.portal import Portal

if TYPE_CHECKING:
    from collections.abc import Callable

WHO = ContextVar("who", default="nobody")


async def told(answer: object) -> object:
    await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)
    return answer


async def told_at_once(answer: int) -> int:
    return answer


async def for_ever() -> None:
    await asyncio.Event().wait()


async def refused() -> None:
    raise LookupError("nothing there")


def test_results_and_errors_come_back_to_each_thread_that_waits() -> None:
    with closing(Portal()) as portal, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: portal.run(told(n)), range(100))) == list(range(100))
        with pytest.raises(LookupError, match="nothing there"):
            portal.run(refused())


def test_a_coroutine_runs_in_the_context_of_who_waits_for_it() -> None:
    async def who() -> str:
        return WHO.get()

    with closing(Portal()) as portal:
        WHO.set("somebody")
        assert portal.run(who()) == "somebody"


def test_closing_tells_who_still_waits_and_the_next_call_begins_anew() -> None:
    portal = Portal()
    begun = threading.Event()

    async def for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as threads, closing(portal):
        waiting = threads.submit(portal.run, for_ever())
        assert begun.wait(10)
        portal.close()
        assert not portal.running
        with pytest.raises(CancelledError):
            waiting.result(10)
        assert portal.run(told(1)) == 1
        assert portal.running


def test_a_call_that_meets_closing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Portal()) as portal:
        loop = asyncio.SelectorEventLoop()
        give = loop.call_soon_threadsafe

        closer = threading.Thread(target=portal.close)

        def closed_meanwhile(callback: Callable[..., object], *args: object) -> object:
            if closer.ident is None:
                closer.start()
                closer.join(0.2)  # it must not come to its end
            return give(callback, *args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", closed_meanwhile)
        with monkeypatch.context() as patched:
            patched.setattr("uvloop.new_event_loop", lambda: loop)
            with pytest.raises(CancelledError):
                portal.run(for_ever())
        closer.join(10)
        assert portal.run(told(1)) == 1


def test_where_there_is_no_room_for_a_loop_the_caller_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> asyncio.AbstractEventLoop:
        raise OSError(errno.EMFILE, "Too many open files")

    with closing(Portal()) as portal:
        with monkeypatch.context() as patched:
            patched.setattr("uvloop.new_event_loop", refuse)
            with pytest.raises(OSError, match="Too many open files"):
                portal.run(told(1))
            assert not portal.running
        assert portal.run(told(1)) == 1


def test_the_handler_of_a_signal_may_call_where_it_interrupts_a_call() -> None:
    with closing(Portal()) as portal:
        answers = list[object]()

        def handle(*_: object) -> None:
            if threading.current_thread() is threading.main_thread():
                answers.append(portal.run(told_at_once(2)))

        with portal._lock:
            before = signal.signal(signal.SIGUSR1, handle)
            try:
                signal.raise_signal(signal.SIGUSR1)
            finally:
                signal.signal(signal.SIGUSR1, before)
        assert answers == [2]


def test_the_child_of_a_fork_closes_what_its_parent_began_without_touching_it() -> None:
    with closing(Portal()) as portal:
        portal.run(told(1))
        taken, free = threading.Event(), threading.Event()

        def hold() -> None:
            with portal._lock:
                taken.set()
                free.wait(10)

        with ThreadPoolExecutor(1) as threads:
            threads.submit(hold)
            assert taken.wait(10)
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                portal.close()
                os._exit(portal.run(told_at_once(7)))
            _, status = os.waitpid(child, 0)
            free.set()
        assert os.waitstatus_to_exitcode(status) == 7
        assert portal.run(told(2)) == 2
