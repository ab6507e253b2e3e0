"""Judges journals: as they grow, and when they have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.workflows.states import LEGAL_MOVES, StepStatus
from tests.workflow_model import ended

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import Loaded


class Watch:
    """Sees journals after every write; what ended once must stay what it is."""

    def __init__(self) -> None:
        self._seen: dict[ExecutionId, Loaded] = {}

    def saw(self, loaded: Loaded) -> None:
        """Compare a journal with what it was."""
        check_journal(loaded)
        ident = loaded.execution.execution_id
        old = self._seen.get(ident)
        if old is not None:
            _check_growth(old, loaded)
        self._seen[ident] = loaded


def check_journal(loaded: Loaded) -> None:
    """Judge one journal by itself."""
    execution, steps = loaded.execution, loaded.steps
    keys = [step.key for step in steps]
    assert len(keys) == len(set(keys)), f"a step twice: {keys}"
    orders = [step.order for step in steps if step.status is not StepStatus.PENDING]
    assert orders == list(range(1, len(orders) + 1)), f"orders with gaps: {steps}"
    for step in steps:
        is_pending = step.status is StepStatus.PENDING
        assert is_pending == (step.order == 0) == (step.ended_at_ms is None), step
        assert (step.error is not None) == (step.status is StepStatus.FAILED), step
        if is_pending:
            assert not execution.is_final, f"{execution.status}, and this waits: {step}"
    assert execution.is_final == (execution.finished_at is not None), execution


def _check_growth(old: Loaded, new: Loaded) -> None:
    before, after = old.execution.status, new.execution.status
    assert before == after or after in LEGAL_MOVES[before], f"{before} became {after}"
    if old.execution.is_final:
        assert (old.execution, old.steps) == (new.execution, new.steps), "written after its end"
    had = [step for step in old.steps if step.order]
    assert list(new.steps[: len(had)]) == had, f"what had ended has changed: {had} {new.steps}"
    begun = {step.key: step for step in new.steps}
    for step in old.steps:
        now = begun[step.key]
        same = (now.kind, now.name, now.digest, now.input, now.message_id, now.began_at_ms)
        was = (step.kind, step.name, step.digest, step.input, step.message_id, step.began_at_ms)
        assert same == was, f"{step} became {now}"


def check_end(
    histories: Sequence[Loaded],
    *,
    cancelled: Collection[str] = (),
    orphaned: Collection[str] = (),
) -> None:
    """Judge executions that have ended, all of them, against the model.

    Args:
        histories: all there are.
        cancelled: workflows that somebody has cancelled; they, their children and those who wait
            for them may have ended otherwise.
        orphaned: children whose parents did not wait for them any more.
    """
    runs = {(each.execution.workflow_id, each.execution.run): each for each in histories}
    for loaded in histories:
        execution = loaded.execution
        check_journal(loaded)
        assert execution.is_final, execution
        stopped = _is_below(execution.workflow_id, {*cancelled, *orphaned})
        if execution.status == "cancelled":
            assert stopped, execution
        if not stopped and not any(_is_below(each, {execution.workflow_id}) for each in cancelled):
            check_result(loaded)
        if execution.status == "continued":
            after = runs[execution.workflow_id, execution.run + 1].execution
            assert orjson.loads(after.input) == orjson.loads(_goes_on(loaded))


def orphans_in(histories: Sequence[Loaded]) -> set[str]:
    """Return the children that their parents did not wait for any more."""
    names = {each.execution.execution_id: each.execution.workflow_id for each in histories}
    return {
        name
        for each in histories
        for step in each.steps
        if step.status is StepStatus.CANCELLED and step.child_id is not None
        if (name := names.get(step.child_id)) is not None
    }


def check_result(loaded: Loaded) -> None:
    """Judge an execution that nobody has stopped against the model."""
    execution = loaded.execution
    wanted = orjson.loads(execution.input)
    model = ended(wanted["program"], wanted["seed"])
    assert execution.status == model.status, (execution, model, loaded.steps)
    if model.status == "completed":
        assert orjson.loads(execution.output or b"") == model.value, (execution, model)
    undone = [step for step in loaded.steps if step.name == "undo"]
    undone.sort(key=_order)
    numbers = [orjson.loads(step.input or b"")["args"][0] for step in undone]
    assert tuple(numbers) == (model.undone if model.status == "failed" else ()), loaded


def _goes_on(loaded: Loaded) -> bytes:
    wanted = orjson.loads(loaded.execution.input)
    model = ended(wanted["program"], wanted["seed"])
    return orjson.dumps({"program": model.goes_on, "seed": model.value})


def _is_below(workflow_id: str, roots: Collection[str]) -> bool:
    return any(workflow_id == each or workflow_id.startswith(f"{each}/") for each in roots)


def _order(step: Step) -> int:
    return step.order
