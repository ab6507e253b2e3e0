"""The bridge from threads without an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar

import pytest

from octoqueue.broker.portal import Portal

WHO = ContextVar("who", default="nobody")


async def told(answer: object) -> object:
    await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)
    return answer


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
