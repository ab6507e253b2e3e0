"""`Functions`: runs what `ctx.run` was given, a bounded number at a time, and tells how it ended.

A function begins after the turn that began its step is committed, and its end is a turn of its own:
it runs at least once, and its result is used once. A plain function runs in a thread, which cannot
be stopped; what it gives when nobody waits for it any more is thrown away. Attempts that fail are
made again here, as its retry policy says; whoever takes the partition over begins to count anew.

Whatever a function raises is how its attempt ended, also what would end a process: one that calls
`sys.exit` must not take the executions of everybody else with it, again after each restart.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from octoqueue.workflows.failures import error_json, text_of
from octoqueue.workflows.states import StepStatus

if TYPE_CHECKING:
    from typing import Protocol

    from octoqueue.orchestrator.loaded import Resident
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.waits import StepFunction

    class StepEnded(Protocol):
        """Told how a step ended here."""

        def __call__(
            self,
            resident: Resident,
            key: str,
            *,
            status: StepStatus,
            output: bytes | None = None,
            error: bytes | None = None,
            attempts: int = 1,
        ) -> None:
            """See `Driver.step_ended`."""


log = logging.getLogger(__name__)

FUNCTION_THREADS = "octoqueue-function"
"""What the names of threads begin with that run functions."""

_Place = tuple["ExecutionId", str]


class Functions:
    """The RUN steps of one orchestrator."""

    def __init__(
        self,
        *,
        concurrency: int,
        ended: StepEnded,
        tasks: Tasks,
        totals: OrchestratorTotals,
        clock: Clock,
        jitter: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            concurrency: how many run at the same time.
            ended: is told how a step ended.
            tasks: where they run.
            totals: counts.
            clock: for the waits between attempts.
            jitter: for tests.
        """
        self._ended = ended
        self._tasks = tasks
        self._totals = totals
        self._clock = clock
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._free = concurrency
        self._concurrency = concurrency
        self._threads = self._new_threads()
        self._waiting: deque[tuple[Resident, Step]] = deque()
        self._known: dict[_Place, asyncio.Task[None] | None] = {}
        """What waits or runs, with its task."""

    def __len__(self) -> int:
        """Return how many wait or run."""
        return len(self._known)

    def start(self, resident: Resident, step: Step) -> None:
        """Run the function of a step as soon as there is room; once, however often it is asked."""
        place = (resident.execution.execution_id, step.key)
        if place in self._known:
            return
        self._known[place] = None
        resident.functions += 1
        self._waiting.append((resident, step))
        self._begin()

    def stop(self, execution_id: ExecutionId, key: str) -> None:
        """Stop the function of a step that nobody waits for."""
        task = self._known.get((execution_id, key))
        if task is not None:
            task.cancel()

    def drop(self, partition: int) -> None:
        """Stop the functions of a partition; whoever holds it runs them again."""
        for resident, step in list(self._waiting):
            if resident.execution.partition == partition:
                self._waiting.remove((resident, step))
                self._known.pop((resident.execution.execution_id, step.key), None)
        name = str(partition)
        for place, task in list(self._known.items()):
            if task is not None and task.get_name() == name:
                del self._known[place]
                task.cancel()

    async def idle(self) -> None:
        """Return when none runs; those that wait for room are forgotten."""
        for resident, step in self._waiting:
            self._known.pop((resident.execution.execution_id, step.key), None)
        self._waiting.clear()
        while running := [task for task in self._known.values() if task is not None]:
            await asyncio.wait(running)

    def close(self) -> None:
        """Begin nothing more; what is in threads runs on and is not listened to."""
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._free and self._waiting:
            resident, step = self._waiting.popleft()
            machine = resident.machine
            function = machine.function_of(step.key) if machine is not None else None
            place = (resident.execution.execution_id, step.key)
            if function is None:  # nobody waits for it any more
                del self._known[place]
                resident.functions -= 1
                continue
            self._free -= 1
            self._known[place] = self._tasks.begin(
                self._run(resident, step, function), name=str(resident.execution.partition)
            )

    async def _run(self, resident: Resident, step: Step, function: StepFunction) -> None:
        attempt = 0
        try:
            while True:
                self._totals.functions += 1
                try:
                    output = function.encoded(await self._called(function))
                except BaseException as error:
                    if _is_meant_for_all(error):
                        raise
                    retry = function.retry
                    if retry is None or not retry.allows(attempt):
                        self._tell(resident, step, attempts=attempt + 1, error=error_json(error))
                        return
                    wait_ms = retry.backoff_ms(attempt, jitter=self._jitter.random())
                    log.debug("function_retried", extra=_facts(resident, step, error))
                    attempt += 1
                    await self._clock.sleep(wait_ms / 1_000)
                else:
                    self._tell(resident, step, attempts=attempt + 1, output=output)
                    return
        finally:
            place = (resident.execution.execution_id, step.key)
            if self._known.get(place) is asyncio.current_task():
                del self._known[place]
            resident.functions -= 1
            self._free += 1
            self._begin()

    def _tell(
        self,
        resident: Resident,
        step: Step,
        *,
        attempts: int,
        output: bytes | None = None,
        error: bytes | None = None,
    ) -> None:
        status = StepStatus.FAILED if output is None else StepStatus.COMPLETED
        self._ended(
            resident, step.key, status=status, output=output, error=error, attempts=attempts
        )

    async def _called(self, function: StepFunction) -> Any:  # noqa: ANN401 - what it returns
        if iscoroutinefunction(function.function):
            return await function()
        threads = self._threads
        in_thread = asyncio.get_running_loop().run_in_executor(threads, _tried, function)
        try:
            value, error = await in_thread
        except asyncio.CancelledError:
            if threads is self._threads:
                # Its thread runs on, perhaps for ever, and must not take the room of another.
                self._threads = self._new_threads()
                threads.shutdown(wait=False)
            raise
        if error is not None:
            raise error
        return await value if isawaitable(value) else value

    def _new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._concurrency, thread_name_prefix=FUNCTION_THREADS)


def _tried(function: StepFunction) -> tuple[Any, BaseException | None]:
    """Return what a function gives or raises: a future does not take all that may be raised."""
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - it is how the attempt ended
        return None, error


def _is_meant_for_all(error: BaseException) -> bool:
    """Return whether an error ends more than the function: this task is stopped, or Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt)


def _facts(resident: Resident, step: Step, error: BaseException) -> dict[str, str]:
    return {
        "execution_id": resident.execution.execution_id,
        "step": step.key,
        "reason": f"{type(error).__name__}: {text_of(error)}",
    }
