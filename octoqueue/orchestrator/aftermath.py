"""`Aftermath`: does what follows from turns that are committed, and nothing before they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.orchestrator.effects import effects_of
from octoqueue.orchestrator.inbox import Input
from octoqueue.workflows.announcing import announcement_of
from octoqueue.workflows.failures import error_json
from octoqueue.workflows.states import FINAL_STATUSES, ExecutionStatus, StepStatus

if TYPE_CHECKING:
    from octoqueue.orchestrator.driving import Driver
    from octoqueue.orchestrator.effects import Effects, StepMessage
    from octoqueue.orchestrator.functions import Functions
    from octoqueue.orchestrator.loaded import LoadedExecutions, Resident
    from octoqueue.orchestrator.orphans import Orphans
    from octoqueue.orchestrator.sending import Sender
    from octoqueue.orchestrator.timers import Timers
    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.orchestrator.writing import Group
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.journal import Turn


class Aftermath:
    """Hands effects to those who bring them about."""

    def __init__(
        self,
        *,
        step_message: StepMessage,
        driver: Driver,
        sender: Sender,
        functions: Functions,
        orphans: Orphans,
        loaded: LoadedExecutions,
        timers: Timers,
        totals: OrchestratorTotals,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            step_message: makes the message of a pending CALL step.
            driver: looks at children and parents.
            sender: ends letters and sends messages.
            functions: runs RUN steps.
            orphans: looks at children nobody waits for.
            loaded: executions in memory.
            timers: what is due.
            totals: counts.
            clock: what time it is told.
        """
        self._step_message = step_message
        self._driver = driver
        self._sender = sender
        self._functions = functions
        self._orphans = orphans
        self._loaded = loaded
        self._timers = timers
        self._totals = totals
        self._clock = clock

    def written(self, group: Group) -> None:
        """Do what follows from turns that are committed."""
        effects = effects_of(group.entries, step_message=self._step_message)
        acks = effects.acks
        if group.done:
            acks += [lease for lease, _ in group.done]
        self._totals.sent += effects.sent
        if acks or effects.settlements:
            self._sender.end(acks, effects.settlements)
        if effects.messages:
            self._sender.send(effects.messages)
        for resident, turn, _ in group.entries:
            resident.unwritten -= 1
            if turn.status is not None or turn.children:
                self._moved(resident, turn)
            if resident.machine is None and not resident.unwritten:
                self._loaded.remove(resident.execution.execution_id)
        self._follow(effects)
        self._driver.trim()

    def _moved(self, resident: Resident, turn: Turn) -> None:
        """Look at those whom a turn concerns besides its own execution."""
        execution = resident.execution
        itself = Input(execution.execution_id, turn.partition)
        for child in turn.children:
            self._driver.begin_child(Input(child.execution_id, turn.partition), parent=itself)
        if turn.status not in FINAL_STATUSES:
            return
        self._totals.ended += 1
        self._loaded.remove(execution.execution_id)
        resident.close()
        if turn.continued is not None:
            self._driver.take([Input(turn.continued.execution_id, turn.partition)])
        elif execution.parent is not None and turn.status is not ExecutionStatus.CONTINUED:
            self._driver.take([Input(execution.parent.execution_id, turn.partition)])

    def _follow(self, effects: Effects) -> None:
        for execution_id, key in effects.over:
            self._timers.discard(execution_id, key)
        if effects.timers:
            self._timers.add(effects.timers, now_ms=self._clock.now_ms())
        for resident, step in effects.runs:
            self._functions.start(resident, step)
        if effects.told:
            now_ms = self._clock.now_ms()
            told = [
                announcement_of(resident.execution, turn, now_ms=now_ms)
                for resident, turn in effects.told
            ]
            self._sender.tell(each for each in told if each is not None)
        for resident, step, error in effects.impossible:
            self._driver.step_ended(
                resident, step.key, status=StepStatus.FAILED, error=error_json(error), attempts=0
            )
        self._give_up(effects)

    def _give_up(self, effects: Effects) -> None:
        """Stop what nobody waits for any more."""
        for execution_id, key in effects.stops:
            self._functions.stop(execution_id, key)
        for step in effects.cancels:
            if step.message_id is not None:
                wanted: dict[str, str] = orjson.loads(step.input or b"{}")
                self._sender.cancel(step.message_id, queue=wanted.get("queue"))
        if effects.orphans:
            self._orphans.look_at(effects.orphans)
