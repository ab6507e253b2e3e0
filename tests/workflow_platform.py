"""Servers, orchestrators and arms as processes of a test's own, to be killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

import asyncpg
import orjson

from octoqueue.embedded.postgres_server import PostgresServer
from octoqueue.embedded.shared_server import SharedServer
from octoqueue.errors import StoreError, WorkflowFinished
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import text_from_id
from octoqueue.producer.nudging import nudge
from octoqueue.redis.client import RedisClient
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.executions import (
    ExecutionId,
    NewExecution,
    new_execution_id,
    partition_of,
    workflow_id_from,
)
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.protocol import Filter, Loaded
from octoqueue.workflows.states import SignalKind, StepKind, StepStatus
from tests.contract.redis_processes import RedisProcess
from tests.program import ROOT, Program
from tests.servers import DEADLINE
from tests.workflow_model import SILENT, Grower, Node, number_sent
from tests.workflow_program import input_of
from tests.workflow_watch import check_end, orphans_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from octoqueue.lanes.protocol import LaneStore

Role = Literal["orchestrator", "worker"]
MODULE = "tests.workflow_app"
PARTITIONS = 4
LEASE = timedelta(seconds=2)
NAMESPACE = "chaos"
_BOUNDS = LaneBounds(high=100_000, normal=100_000, low=100_000)
_WAITS = """
select e.workflow_id, s.execution_id::text, s.key, s.name
from workflow_steps s join workflow_executions e using (execution_id)
where s.kind = 'signal' and s.status = 'pending' and s.name <> $1 and e.status = 'running'
"""
_OPEN = """
select count(*) from workflow_executions
where status not in ('completed', 'failed', 'cancelled', 'continued')
"""


@dataclass
class Platform:
    """Two servers, the processes that work on them, and what was started."""

    redis: RedisProcess
    postgres: SharedServer
    dsn: str
    notes: Path
    store: PostgresWorkflowStore
    lanes: LaneStore
    seed: int
    clock: SystemClock = field(default_factory=SystemClock)
    programs: list[Program] = field(default_factory=list[Program])
    roles: dict[int, Role] = field(default_factory=dict[int, Role])
    deaths: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.started = 0
        print(f"the seed of this chaos is {self.seed}")

    # ── processes ────────────────────────────────────────────────────────────────────────────────

    def begin(self, role: Role) -> Program:
        """Start a process."""
        environment = {
            "OCTOQUEUE_REDIS_URL": self.redis.url,
            "OCTOQUEUE_POSTGRES_URL": self.dsn,
            "OCTOQUEUE_NAMESPACE": NAMESPACE,
            "OCTOQUEUE_LANES__LEASE": f"{LEASE.total_seconds():g}s",
            "OCTOQUEUE_WORKFLOWS__LEASE": f"{LEASE.total_seconds():g}s",
            "OCTOQUEUE_WORKFLOWS__PARTITIONS": str(PARTITIONS),
            "NOTES": str(self.notes),
        }
        program = Program(role, MODULE, cwd=ROOT, environment=environment)
        self.programs.append(program)
        self.roles[program.pid] = role
        return program

    def alive(self, role: Role) -> list[Program]:
        """The processes of a role that live."""
        return [
            each
            for each in self.programs
            if self.roles[each.pid] == role and each.process.poll() is None
        ]

    def require_all_alive(self) -> None:
        """Fail with the last words of a process that nobody has killed."""
        for program in self.programs:
            assert program.process.poll() is None, program.transcript[-5_000:]

    async def kill(self, program: Program) -> None:
        """Kill a process as a crash would."""
        program.signal(signal.SIGKILL)
        await asyncio.to_thread(program.process.wait)
        self.deaths += 1

    async def kill_one(self) -> None:
        """Kill an orchestrator or an arm, and start another one."""
        role: Role = self.random.choice(("orchestrator", "worker"))
        if living := self.alive(role):
            await self.kill(self.random.choice(living))
        self.begin(role)

    async def until_ready(self) -> None:
        """Return when some orchestrator holds partitions and an arm works."""
        orchestrator, worker = self.alive("orchestrator")[0], self.alive("worker")[0]
        await asyncio.to_thread(orchestrator.says, "partitions_taken")
        await asyncio.to_thread(worker.says, "worker_started")

    # ── callers ──────────────────────────────────────────────────────────────────────────────────

    def node(self) -> Node:
        """Return a program of the seed."""
        return Grower(self.random.randrange, longest_ms=1_500).program(depth=2)

    async def start(self, count: int, *, node: Node | None = None) -> None:
        """Start programs; a start without an answer is made again, with the same id."""
        for _ in range(count):
            ident = workflow_id_from(f"w{self.started}")
            wanted = input_of(node or self.node(), self.started)
            new = NewExecution(
                workflow_id=ident,
                execution_id=new_execution_id(ident),
                partition=partition_of(ident, PartitionMap(PARTITIONS)),
                name="program",
                input=orjson.dumps(wanted),
            )
            while True:
                with contextlib.suppress(StoreError):
                    execution = (await self.store.start(new)).execution
                    break
                await asyncio.sleep(0.1)
            await nudge(self.lanes, execution, now_ms=self.clock.now_ms())
            self.started += 1

    @asynccontextmanager
    async def signalling(self) -> AsyncGenerator[None]:
        """Send every signal that somebody waits for, under one id each, for the block."""
        task = asyncio.create_task(self._send_signals())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _send_signals(self) -> None:
        while True:
            with contextlib.suppress(StoreError, OSError, asyncpg.PostgresError):
                for workflow_id, execution_id, key, name in await self.rows(_WAITS, SILENT):
                    ident = SignalId(str(uuid5(NAMESPACE_OID, f"{execution_id} {key}")))
                    value = orjson.dumps(number_sent(name))
                    sent = Signal(ident, SignalKind.SENT, name, value, self.clock.now_ms())
                    with contextlib.suppress(WorkflowFinished):
                        execution = await self.store.signal(workflow_id_from(workflow_id), sent)
                        await nudge(self.lanes, execution, now_ms=self.clock.now_ms())
            await asyncio.sleep(0.3)

    # ── facts ────────────────────────────────────────────────────────────────────────────────────

    async def rows(self, sql: str, *values: object) -> list[Any]:
        """Return rows that no store has a verb for."""
        connection = await asyncpg.connect(self.dsn, timeout=5)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def still_open(self) -> int:
        """Return how many executions have not ended."""
        ((count,),) = await self.rows(_OPEN)
        return int(count)

    async def until_open(self, most: int, *, patience_seconds: float = 120) -> None:
        """Return when no more than so many executions are open."""
        count = -1
        try:
            async with asyncio.timeout(patience_seconds):
                while True:
                    with contextlib.suppress(OSError, asyncpg.PostgresError):
                        count = await self.still_open()
                        if count <= most:
                            return
                    await asyncio.sleep(0.2)
        except TimeoutError:
            left = [each for each in await self.histories() if not each.execution.is_final]
            told = "\n".join(f"{each.execution}\n  {each.steps}" for each in left[:5])
            raise AssertionError(
                f"{count} are open (seed {self.seed}), among them\n{told}"
            ) from None

    async def histories(self) -> list[Loaded]:
        """Return all executions with their journals."""
        found: list[Loaded] = []
        before: ExecutionId | None = None
        while page := await self.store.executions(Filter(before=before), limit=500):
            found += await self.store.load([each.execution_id for each in page])
            before = page[-1].execution_id
        return found

    def effects(self) -> Counter[str]:
        """Return how often each effect was had."""
        return Counter(self.notes.read_text().splitlines()) if self.notes.exists() else Counter()

    async def judge(self, *, exactly_once: bool = False) -> list[Loaded]:
        """Judge all executions and the ledger of effects; return the executions."""
        histories = await self.histories()
        roots = {each.execution.workflow_id for each in histories}
        assert {f"w{number}" for number in range(self.started)} <= roots
        check_end(histories, orphaned=orphans_in(histories))
        self._judge_effects(histories, exactly_once=exactly_once)
        return histories

    def _judge_effects(self, histories: list[Loaded], *, exactly_once: bool) -> None:
        effects = self.effects()
        runs = Counter(line.split()[0] for line in effects.elements() if " " in line)
        for each in histories:
            ended = [step for step in each.steps if step.status in _ENDED]
            runs[each.execution.workflow_id] -= sum(step.kind is StepKind.RUN for step in ended)
            for step in ended:
                if step.kind is StepKind.CALL and step.message_id is not None:
                    times = effects[text_from_id(step.message_id)]
                    most = 1 + (step.name == "flaky")
                    assert times >= 1, (self.seed, step)
                    assert not exactly_once or times == most, (self.seed, times, step)
        assert min(runs.values(), default=0) >= 0, (self.seed, runs)


_ENDED = (StepStatus.COMPLETED, StepStatus.FAILED)


@asynccontextmanager
async def platform(
    state_dir: Path, notes: Path, *, seed: int, orchestrators: int = 1, workers: int = 1
) -> AsyncGenerator[Platform]:
    """Servers and processes for the length of the block."""
    postgres = SharedServer(PostgresServer(state_dir), state_dir=state_dir, clock=SystemClock())
    async with AsyncExitStack() as stack:
        dsn = await asyncio.to_thread(postgres.start, timeout=DEADLINE)
        stack.push_async_callback(asyncio.to_thread, postgres.stop, timeout=DEADLINE)
        redis = RedisProcess(state_dir / "r")
        await asyncio.to_thread(redis.start)
        stack.callback(redis.kill)
        pool = await stack.enter_async_context(PostgresPool(dsn))
        await Migrator(pool).migrate()
        client = RedisClient(redis.url)
        stack.push_async_callback(client.aclose)
        options = LaneOptions(namespace=NAMESPACE, lease=LEASE, default_bounds=_BOUNDS)
        store = PostgresWorkflowStore(pool)
        stack.push_async_callback(store.aclose)
        lanes = RedisLaneStore(client, options)
        made = Platform(redis, postgres, dsn, notes, store, lanes, seed)
        stack.callback(_end, made)
        for _ in range(orchestrators):
            made.begin("orchestrator")
        for _ in range(workers):
            made.begin("worker")
        await made.until_ready()
        yield made


def _end(platform: Platform) -> None:
    for program in platform.programs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGCONT)
        program.__exit__()
