"""`Ledger`: the steps of one execution in memory, and what its present turn has written.

While it replays, each thing that the function begins is compared with the journal, and nothing is
written. A journal that was copied from another execution (a retry) ends in the middle: what the
function does beyond it is written as in any turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import WorkflowChanged
from octoqueue.primitives.ids import new_message_id
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.journal import Step
from octoqueue.workflows.states import StepKind, StepStatus
from octoqueue.workflows.stops import HISTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.workflows.executions import Execution, NewExecution
    from octoqueue.workflows.waits import Plan

_PENDING = StepStatus.PENDING


class Ledger:
    """Steps that wait, and rows to write."""

    __slots__ = (
        "_execution",
        "_journal",
        "_may_end_early",
        "_met",
        "begun",
        "children",
        "order",
        "pending",
        "written",
    )

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._journal: dict[str, Step] | None = None
        self._met: set[str] = set()
        self._may_end_early = False
        self.pending: dict[str, Step] = {}
        """Steps that are waited for, in the order in which they began."""
        self.written: dict[str, Step] = {}
        self.children: list[NewExecution] = []
        self.begun = 0
        """How many steps there are."""
        self.order = 0
        """How many of them have ended."""

    # ── replaying ────────────────────────────────────────────────────────────────────────────────

    @property
    def is_replaying(self) -> bool:
        """Whether a journal is being followed."""
        return self._journal is not None

    def open(self, steps: Sequence[Step], *, may_end_early: bool) -> list[Step]:
        """Follow a journal; return its steps that ended, in their order."""
        self._journal = {step.key: step for step in steps}
        self._may_end_early = may_end_early
        return sorted((step for step in steps if step.order), key=lambda step: step.order)

    def is_told(self, step: Step) -> bool:
        """Whether the function has brought about itself that a step ended."""
        return step.key in self._met

    @property
    def is_strict(self) -> bool:
        """Whether all that begins must be in the journal."""
        return self._journal is not None and not self._may_end_early

    def known(self, key: str) -> Step | None:
        """Return a step of the journal that is followed."""
        return None if self._journal is None else self._journal.get(key)

    def takes_patch(self, key: str) -> bool:
        """Whether what is done under that key is done as the code says now."""
        journal = self._journal
        if journal is None or key in journal:
            return True
        # A copied journal is over when all of it was told: from there on everything is new.
        return self._may_end_early and all(each in self._met for each in journal)

    def stops_at_limit(self) -> bool:
        """Whether the journal says that the execution had too many steps."""
        journal = self._journal or {}
        return any(
            step.kind is StepKind.CANCEL and step.name == HISTORY for step in journal.values()
        )

    def close(self) -> None:
        """End following; what the journal waits for must be what is waited for.

        Raises:
            WorkflowChanged: it is not.
        """
        journal = self._journal or {}
        for key, step in journal.items():
            if step.status is _PENDING and key not in self.pending:
                self.differs(key, f"the journal waits for {_named(step)}, the code does not")
        self.leave()

    def leave(self) -> None:
        """End following without comparing what is waited for."""
        self._journal = None
        self._met = set()

    def differs(self, key: str, reason: str) -> None:
        """Say that code and journal do not fit.

        Raises:
            WorkflowChanged: always.
        """
        raise WorkflowChanged(
            self._execution.workflow_id,
            execution_id=self._execution.execution_id,
            step=key,
            reason=reason,
        )

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    def begin(self, key: str, plan: Plan, *, now_ms: int) -> None:
        """Begin a step.

        Raises:
            WorkflowChanged: the journal has another one there, or none.
        """
        self.begun += 1
        journal = self._journal
        if journal is not None:
            step = journal.get(key)
            if step is not None:
                self._compare(step, plan)
                self.pending[key] = step
                return
            if not self._may_end_early:
                self.differs(key, f"the code begins {_named(plan)}, the journal has nothing there")
        self._begin_anew(key, plan, now_ms)

    def _begin_anew(self, key: str, plan: Plan, now_ms: int) -> None:
        kind = plan.kind
        message_id = child_id = None
        if kind is StepKind.CALL:
            beside = message_id_of(self._execution.execution_id)
            message_id = new_message_id(beside=beside)
        elif plan.child is not None:
            child_id = plan.child.execution_id
            self.children.append(plan.child)
        self.pending[key] = self.written[key] = Step(
            key,
            kind,
            plan.name,
            plan.digest,
            _PENDING,
            input=plan.input,
            message_id=message_id,
            child_id=child_id,
            due_at_ms=plan.due_at_ms,
            began_at_ms=now_ms,
        )

    def end(
        self,
        key: str,
        status: StepStatus,
        *,
        now_ms: int,
        output: bytes | None = None,
        error: bytes | None = None,
        attempts: int = 0,
    ) -> Step:
        """End a step that is waited for, and return it."""
        step = self.pending.pop(key)
        self.order += 1
        ended = self.written[key] = step._replace(
            status=status,
            order=self.order,
            output=output,
            error=error,
            ended_at_ms=now_ms,
            attempts=attempts,
        )
        return ended

    def follow(self, step: Step) -> None:
        """End a step as the journal says it ended.

        Raises:
            WorkflowChanged: the code does not wait for it.
        """
        if self.pending.pop(step.key, None) is None:
            self.differs(
                step.key, f"the journal has {_named(step)} there, the code does not begin it"
            )
        self._met.add(step.key)
        self.order = step.order

    def skip(self, step: Step) -> None:
        """Pass over a step of the journal that the code need not do any more."""
        self._met.add(step.key)
        self.order = step.order

    def give_up(self, key: str, *, now_ms: int) -> None:
        """Cancel a step, because nobody waits for it any more.

        Raises:
            WorkflowChanged: the journal has another end of it.
        """
        step = self.pending.get(key)
        if step is None:
            return
        if self._journal is not None and key in self._journal:
            if step.status is not StepStatus.CANCELLED:
                self.differs(
                    key, f"the code gives up waiting for {_named(step)}, which {step.status} there"
                )
            self.follow(step)
            return
        self.end(key, StepStatus.CANCELLED, now_ms=now_ms)

    def note(
        self,
        key: str,
        plan: Plan,
        *,
        now_ms: int,
        output: bytes | None = None,
    ) -> None:
        """Keep a step that ends when it begins.

        Raises:
            WorkflowChanged: the journal has another one there, or none.
        """
        self.begin(key, plan, now_ms=now_ms)
        step = self.pending[key]
        if step.status is _PENDING:
            self.end(key, StepStatus.COMPLETED, now_ms=now_ms, output=output)
        else:
            self.follow(step)

    def _compare(self, step: Step, plan: Plan) -> None:
        if (step.kind, step.name) != (plan.kind, plan.name):
            self.differs(
                step.key, f"the journal has {_named(step)} there, the code begins {_named(plan)}"
            )
        if step.digest != plan.digest:
            self.differs(
                step.key, f"the code begins {_named(plan)} with other arguments than the journal"
            )


def _named(what: Step | Plan) -> str:
    return f"{what.kind} {what.name!r}"
