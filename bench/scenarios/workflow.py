"""Durable workflows of three steps: how fast, how soon, how much memory, how soon back.

All processes and both servers are on this machine; PostgreSQL waits for the disk (fsync on). Ours
is an orchestrator, a worker and a process that starts workflows; each step is a message to the
worker. DBOS is one process that does all of it, in threads, and sends no messages.

- *steps/s*: three times the workflows that were run, through the time from the first start until
  the last of them stands as completed in PostgreSQL. Starts count as time and not as steps.
- *overhead*: from when a step's body ended until the body of the next one began, of workflows that
  are started evenly, at 100 a second (300 steps), whatever became of those before.
- *first step*: from when a workflow was due until its first step began, at the same rate.
- *MiB waiting*: resident memory that the process has more than before when 10,000 executions wait
  for a signal; of DBOS 300 wait, and it is 10,000 times what one of them takes. Measured once.
- *progressed*, *completed*: 1,000 executions have ended their first step and are in the second
  when the process that keeps them is killed (SIGKILL). A new one is started at once, and their
  second steps may end. Seconds from its start until all third steps have begun, and until all have
  completed. Ours loses the orchestrator, its worker lives; DBOS loses everything. Measured once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.engines.dbos import dbos_engine, is_installed
from bench.engines.ours import our_engine
from bench.engines.rig import private_database
from bench.figures import evenly_ns, percentile
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.peers.flows import GATE, counted, overheads_ns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from bench.engines.rig import Database, Engine

_STEPS = 3
_PER_SECOND = 100
_PACED = 100
_WARM = 100
_WAITING_COUNT = 10_000
_HELD = 1_000
_LOOK_AGAIN_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_NS_IN_MS = 1e6

_SPEED, _CPU = "steps/s", "engine CPU µs"
_POSTGRES_CPU, _REDIS_CPU = "Postgres CPU µs", "Redis CPU µs"
_P50, _P95 = "overhead P50 ms", "overhead P95 ms"
_FIRST = "first P95 ms"
_WAITING = "MiB waiting"
_PROGRESSED, _COMPLETED = "progressed s", "completed s"


class Contender(NamedTuple):
    """An engine, and how much it is asked to do."""

    name: str
    make: Callable[[Bench, Database], AbstractAsyncContextManager[Engine]]
    drains: int
    """Workflows it runs in a second or so."""
    waits: int
    """Executions that wait for signals."""


OURS = Contender(
    name="octoqueue",
    make=lambda bench, database: our_engine(bench.server.url, database),
    drains=1_500,
    waits=_WAITING_COUNT,
)
DBOS = Contender(
    name="DBOS",
    make=lambda _bench, database: dbos_engine(database),
    drains=150,
    waits=300,
)


def side_of(contender: Contender) -> Side:
    """Return a side that measures an engine."""

    async def run(bench: Bench) -> Mapping[str, float]:
        database = await bench.stage.keep("database", private_database)
        once = await bench.stage.keep("measured once", _found_once)
        engine = await bench.stage.keep(contender.name, lambda: _warm(contender, bench, database))
        if contender.name not in once:  # the round that does not count
            once[contender.name] = {
                **await waiting(engine, contender.waits),
                **await recovered(engine),
            }
            return once[contender.name]
        return {
            **await drained(bench, database, engine, contender.drains),
            **await paced(engine),
            **once[contender.name],
        }

    return Side(contender.name, run)


@asynccontextmanager
async def _warm(contender: Contender, bench: Bench, database: Database) -> AsyncIterator[Engine]:
    async with contender.make(bench, database) as engine:
        await engine.do("drain", count=_WARM, prefix="warm-")
        yield engine


@asynccontextmanager
async def _found_once() -> AsyncIterator[dict[str, Mapping[str, float]]]:
    yield {}


async def drained(
    bench: Bench, database: Database, engine: Engine, count: int
) -> Mapping[str, float]:
    """Run so many workflows to their end."""
    before = engine.cpu_seconds(), database.cpu_seconds(), await bench.server.usage()
    done = await engine.do("drain", count=count, prefix=f"drain-{time.monotonic_ns()}-")
    micro = 1e6 / (count * _STEPS)
    return {
        _SPEED: count * _STEPS / done["seconds"],
        _CPU: (engine.cpu_seconds() - before[0]) * micro,
        _POSTGRES_CPU: (database.cpu_seconds() - before[1]) * micro,
        _REDIS_CPU: (await bench.server.usage() - before[2]).cpu_seconds * micro,
    }


async def paced(engine: Engine) -> Mapping[str, float]:
    """Start workflows evenly, and look at the notes of their steps."""
    done = await engine.do(
        "paced",
        due_ns=evenly_ns(per_second=_PER_SECOND, count=_PACED),
        prefix=f"paced-{time.monotonic_ns()}-",
    )
    between = [took for notes in done["notes"] for took in overheads_ns(notes)]
    first = [
        notes[0][0] - due_ns for notes, due_ns in zip(done["notes"], done["due_ns"], strict=True)
    ]
    return {
        _P50: percentile(between, 0.50) / _NS_IN_MS,
        _P95: percentile(between, 0.95) / _NS_IN_MS,
        _FIRST: percentile(first, 0.95) / _NS_IN_MS,
    }


async def waiting(engine: Engine, count: int) -> Mapping[str, float]:
    """Let executions wait for a signal, and see what memory they take."""
    before = engine.resident_bytes()
    await engine.do("wait", count=count, prefix="wait-")
    each = (engine.resident_bytes() - before) / count
    await engine.forget("wait-", count)
    return {_WAITING: each * _WAITING_COUNT / 2**20}


async def recovered(engine: Engine) -> Mapping[str, float]:
    """Kill the engine while executions are in their second step, and start it again."""
    await engine.do(
        "hold",
        count=_HELD,
        prefix="held-",
        second=counted(engine.folder, "second") + _HELD,
    )
    third = counted(engine.folder, "third")
    await engine.kill()
    gate = Path(engine.folder) / GATE
    gate.touch()
    began = time.monotonic()
    await engine.start()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while counted(engine.folder, "third") < third + _HELD:  # noqa: ASYNC110 - rings no bell
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        progressed = time.monotonic() - began
        while await engine.completed("held-") < _HELD:  # noqa: ASYNC110 - rings no bell
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    completed = time.monotonic() - began
    gate.unlink()
    return {_PROGRESSED: progressed, _COMPLETED: completed}


_CONTENDERS = (OURS, DBOS) if is_installed() else (OURS,)

SCENARIO = Scenario(
    name="workflow",
    question="workflows of three steps, all of it on this machine, PostgreSQL with fsync on",
    figures=(
        Figure(_SPEED, better="more"),
        Figure(_CPU, better="less"),
        Figure(_POSTGRES_CPU, better="less"),
        Figure(_REDIS_CPU, better="less"),
        Figure(_P50, 1, better="less"),
        Figure(_P95, 1, better="less"),
        Figure(_FIRST, 1, better="less"),
        Figure(_WAITING, better="less"),
        Figure(_PROGRESSED, 1, better="less"),
        Figure(_COMPLETED, 1, better="less"),
    ),
    sides=tuple(map(side_of, _CONTENDERS)),
    ratios=tuple(
        Ratio(OURS.name, DBOS.name, figure)
        for figure in (_SPEED, _P95, _WAITING, _COMPLETED)
        if is_installed()
    ),
    most_rounds=2,
    clears=False,
)
