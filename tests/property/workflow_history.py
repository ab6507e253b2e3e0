"""What happens to executions, decided by numbers: each chooses one of the things that may happen.

When the numbers are over, all goes well, and every execution must end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from octoqueue.workflows.states import StepStatus
from tests.property.workflow_engine import LEASE, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.workflows.executions import ExecutionId, WorkflowId
    from tests.property.workflow_engine import World

HELPS = 3
"""How much more often what helps happens than what harms."""


class Stuck(AssertionError):
    """Nothing can happen any more, and something has not ended."""


class History:
    """What happens, number by number."""

    def __init__(self, world: World, *, engines: int = 2, cancels: bool = False) -> None:
        self.world = world
        self.cancels = cancels
        self.engines = [Engine(world) for _ in range(engines)]

    def may_happen(self) -> list[Callable[[], object]]:
        """Return everything that may happen now; what helps is there several times."""
        world = self.world
        helps: list[Callable[[], object]] = [lambda: world.clock.advance(1)]
        harms: list[Callable[[], object]] = [lambda: world.clock.advance(LEASE), self.join]
        for engine in self.engines:
            helps += self._steps_of(engine)
            harms += self._harm_to(engine)
        helps += [partial(world.claim, i) for i in range(len(world.waiting))]
        for call in world.running:
            helps.append(partial(world.finish, call))
            harms.append(partial(world.lose_worker, call))
        helps += [partial(self.signal, w, s.name) for w, s in world.signals_wanted()]
        harms += [partial(self.signal_early, i) for i in range(len(world.early))]
        if world.letters:
            harms += [lambda: world.letters.rotate(1), self.double_letter]
        if self.cancels:
            roots = {world.loaded(ident).execution.workflow_id for ident in world.executions}
            harms += [partial(self.cancel, w) for w in sorted(roots - world.cancelled)]
        return [*(helps * HELPS), *harms, world.flush]

    def _steps_of(self, engine: Engine) -> list[Callable[[], object]]:
        world = self.world
        may: list[Callable[[], object]] = [engine.attend]
        held = [letter for letter in world.letters if letter.partition in engine.epochs]
        may += [partial(engine.open_letter, letter) for letter in held[:3]]
        if engine.unwritten or engine.leased:
            may.append(engine.write)
        elif engine.unsent or engine.unacked:
            may.append(engine.send)
        may += [partial(engine.run, *to) for to in engine.runs()]
        may += [partial(self.tell, engine, i) for i in world.nudged]
        if engine.lost != world.lost:
            may.append(engine.notice_loss)
        if engine.due():
            may.append(engine.ring)
        return may

    def _harm_to(self, engine: Engine) -> list[Callable[[], object]]:
        unwritten = {turn.execution_id for turn in engine.unwritten}
        idle = [ident for ident in engine.machines if ident not in unwritten]
        evict = [lambda: engine.machines.pop(idle[0])] if idle else []
        return [lambda: self.kill(engine), *evict]

    def play(self, numbers: list[int]) -> None:
        """Let things happen as the numbers choose."""
        for number in numbers:
            may = self.may_happen()
            may[number % len(may)]()

    def join(self) -> None:
        if len(self.engines) < 4:
            self.engines.append(Engine(self.world))

    def kill(self, engine: Engine) -> None:
        engine.die()
        self.engines.remove(engine)
        self.join()

    def tell(self, engine: Engine, ident: ExecutionId) -> None:
        """Give a nudge to whoever believes to hold the partition."""
        if self.world.nudged[ident] in engine.epochs:
            del self.world.nudged[ident]
            engine.look(ident)

    def signal(self, workflow_id: WorkflowId, name: str) -> None:
        self.world.send_once(workflow_id, name)

    def signal_early(self, index: int) -> None:
        workflow_id, name = self.world.early.pop(index)
        self.world.send_once(workflow_id, name)

    def cancel(self, workflow_id: WorkflowId) -> None:
        self.world.cancelled.add(workflow_id)
        self.world.cancel_workflow(workflow_id)

    def double_letter(self) -> None:
        self.world.letters.append(self.world.letters[0])

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Let all go well from now on, until every execution has ended."""
        world = self.world
        for engine in self.engines:
            engine.die()
        world.clock.advance(LEASE)
        self.engines = [Engine(world)]
        (engine,) = self.engines
        for _ in range(2_000):
            engine.attend()
            engine.ring()
            if not self._goes_on(engine):
                open_ones = [i for i in world.executions if not self._has_ended(i)]
                if not open_ones:
                    return
                self._wait_for_timers(open_ones)
        raise Stuck(self.told())

    def _goes_on(self, engine: Engine) -> bool:
        world = self.world
        if engine.unwritten or engine.leased:
            engine.write()
        elif engine.unsent or engine.unacked:
            engine.send()
        elif runs := engine.runs():
            engine.run(*runs[0])
        elif world.letters:
            engine.open_letter(world.letters[0])
        elif world.running:
            world.finish(world.running[0])
        elif world.waiting:
            world.claim(0)
        elif world.nudged:
            engine.look(world.nudged.popitem()[0])
        elif wanted := world.signals_wanted():
            self.signal(wanted[0][0], wanted[0][1].name)
        else:
            return False
        return True

    def _has_ended(self, ident: ExecutionId) -> bool:
        return self.world.loaded(ident).execution.is_final

    def _wait_for_timers(self, open_ones: list[ExecutionId]) -> None:
        now_ms = self.world.clock.now_ms()
        due = [
            step.due_at_ms
            for ident in open_ones
            for step in self.world.loaded(ident).steps
            if step.status is StepStatus.PENDING and step.due_at_ms is not None
        ]
        if not due or min(due) <= now_ms:
            raise Stuck(self.told())
        self.world.clock.advance(min(due) - now_ms)

    def told(self) -> str:
        """Return what has not ended, for people."""
        return "\n".join(
            f"{loaded.execution}\n  " + "\n  ".join(map(str, [*loaded.steps, *loaded.signals]))
            for loaded in map(self.world.loaded, self.world.executions)
            if not loaded.execution.is_final
        )
