"""DBOS: workflows and steps in threads of one process, state in PostgreSQL; no message is sent.

Its steps run where the workflow runs, so between two steps there is one commit and nothing else;
ours sends each step to a worker in another process. Sync functions in 16 threads were the quickest
here (8 to 32 the same; coroutines a fifth slower; two processes no quicker than one on two cores).
What waits, for a signal or inside a step, are coroutines: a thread each would be worse.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dbos import DBOS, SetWorkflowID

from bench.child import order, say, told
from bench.peers.flows import Note, Steps, counted

_THREADS = 16
_AT_ONCE = 100
_LOOK_AGAIN_SECONDS = 0.01
ORDER = order()
STEPS = Steps(ORDER["folder"])

DBOS(
    config={
        "name": "bench",
        "system_database_url": ORDER["database"],
        "sys_db_pool_size": 20,
        "log_level": "ERROR",
        "application_version": "1",
        "executor_id": "local",
    }
)


@DBOS.step()
def first() -> Note:
    """Begin."""
    return STEPS.first()


@DBOS.step()
def second() -> Note:
    """Go on."""
    return STEPS.second()


@DBOS.step()
def third() -> Note:
    """End."""
    return STEPS.third()


@DBOS.step()
async def afirst() -> Note:
    """Begin, on the loop."""
    return STEPS.first()


@DBOS.step()
async def held() -> Note:
    """Wait for the gate."""
    return await STEPS.held()


@DBOS.step()
async def athird() -> Note:
    """End, on the loop."""
    return STEPS.third()


@DBOS.workflow()
def three() -> list[Note]:
    """Three steps."""
    return [first(), second(), third()]


@DBOS.workflow()
async def three_held() -> list[Note]:
    """Three steps, the second of which waits."""
    return [await afirst(), await held(), await athird()]


@DBOS.workflow()
async def waits() -> str | None:
    """Wait for a signal."""
    found: str | None = await DBOS.recv_async("go", timeout_seconds=3_600)
    return found


def drain(count: int) -> dict[str, Any]:
    """Run so many workflows to their end, as fast as it goes."""
    began, cpu_began = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(lambda _: three(), range(count)):
            pass
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu_began}


def paced(due_ns: list[int]) -> dict[str, Any]:
    """Start workflows when they are due; return when, and the notes of their steps."""
    origin_ns = time.monotonic_ns() + 50_000_000
    with ThreadPoolExecutor(_THREADS) as threads:
        runs = []
        for moment_ns in due_ns:
            time.sleep(max(origin_ns + moment_ns - time.monotonic_ns(), 0) / 1e9)
            runs.append(threads.submit(three))
        notes = [run.result() for run in runs]
    return {"due_ns": [origin_ns + moment_ns for moment_ns in due_ns], "notes": notes}


async def start(workflow: Any, count: int, *, prefix: str) -> None:  # noqa: ANN401 - theirs
    """Start workflows that will wait."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            with SetWorkflowID(f"{prefix}{number}"):
                await DBOS.start_workflow_async(workflow)

    await asyncio.gather(*(one(number) for number in range(count)))


async def all_held(second: int) -> None:
    """Wait until so many second steps have begun, in all."""
    while counted(ORDER["folder"], "second") < second:  # noqa: ASYNC110 - a tally rings no bell
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def obey() -> None:
    """Do what is told until the parent has gone."""
    while True:
        say("ready", pid=os.getpid())
        facts = await told()
        match facts["what"]:
            case "drain":
                say("done", **await asyncio.to_thread(drain, facts["count"]))
            case "paced":
                say("done", **await asyncio.to_thread(paced, facts["due_ns"]))
            case "wait":
                await start(waits, facts["count"], prefix=facts["prefix"])
                say("done")
            case "hold":
                await start(three_held, facts["count"], prefix=facts["prefix"])
                await all_held(facts["second"])
                say("done")
            case other:
                raise ValueError(other)


def main() -> None:
    """Run; what was pending is recovered at launch."""
    DBOS.launch()
    with contextlib.suppress(EOFError):
        asyncio.run(obey())
    os._exit(0)


if __name__ == "__main__":
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = os.fdopen(own, "w", encoding="utf-8")
    main()
