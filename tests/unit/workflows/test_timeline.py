"""A journal as people read it: the order of the program, branches, times, what is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.executions import Execution, ExecutionId, WorkflowId
from octoqueue.workflows.journal import Signal, SignalId, Step
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from octoqueue.workflows.timeline import (
    GATHER,
    Line,
    excerpt,
    failure_text,
    timeline_of,
    waits_of,
)

CREATED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CREATED_MS = round(CREATED.timestamp() * 1000)
IDENT = "0198c0de-0000-7000-8000-000000000abc"
RUNNING = Execution(
    workflow_id=WorkflowId("order-17"),
    execution_id=ExecutionId(IDENT),
    partition=3,
    name="order",
    version=1,
    run=1,
    status=ExecutionStatus.RUNNING,
    input=b"17",
    output=None,
    error=None,
    lane=Lane.NORMAL,
    tenant=None,
    complexity=Complexity.MEDIUM,
    signals=None,
    deadline_at_ms=None,
    parent=None,
    created_at=CREATED,
    started_at=CREATED,
    finished_at=None,
)


def step(key: str, kind: StepKind = StepKind.CALL, **fields: Any) -> Step:  # noqa: ANN401 - a step's
    status: StepStatus = fields.pop("status", StepStatus.COMPLETED)
    name: str = fields.pop("name", kind.value)
    return Step(key, kind, name, b"", status, **fields)


def loaded(
    *steps: Step, execution: Execution = RUNNING, signals: tuple[Signal, ...] = ()
) -> Loaded:
    return Loaded(execution=execution, steps=steps, signals=signals)


def lines(*steps: Step) -> list[Line]:
    return list(timeline_of(loaded(*steps)).lines)


# ── order and branches ───────────────────────────────────────────────────────────────────────────


def test_steps_stand_in_the_order_of_the_program_whatever_the_order_of_their_ends() -> None:
    told = lines(step("10", order=1), step("9", order=2), step("2.1.1", order=3), step("2.0.1"))
    assert [line.key for line in told] == ["2", "2.0.1", "2.1.1", "9", "10"]


def test_a_gather_has_a_line_of_its_own_with_its_branches_below() -> None:
    told = lines(
        step("1", began_at_ms=10, ended_at_ms=20),
        step("2.0.1", began_at_ms=20, ended_at_ms=50),
        step("2.0.2", began_at_ms=50, ended_at_ms=90),
        step("2.1.1", began_at_ms=20, ended_at_ms=30),
    )
    gather = told[1]
    assert (gather.kind, gather.name, gather.depth) == (GATHER, "2 branches", 0)
    assert (gather.began_at_ms, gather.ended_at_ms) == (20, 90)
    assert [line.depth for line in told] == [0, 0, 1, 1, 1]


def test_a_gather_in_a_branch_stands_below_the_one_around_it() -> None:
    told = lines(step("2.1.3.0.1"), step("2.1.3.1.1"))
    assert [(line.key, line.depth, line.name) for line in told] == [
        ("2", 0, "1 branch"),
        ("2.1.3", 1, "2 branches"),
        ("2.1.3.0.1", 2, "call"),
        ("2.1.3.1.1", 2, "call"),
    ]


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ((StepStatus.COMPLETED, StepStatus.PENDING, StepStatus.FAILED), StepStatus.PENDING),
        ((StepStatus.COMPLETED, StepStatus.CANCELLED, StepStatus.FAILED), StepStatus.FAILED),
        ((StepStatus.COMPLETED, StepStatus.COMPLETED), StepStatus.COMPLETED),
    ],
)
def test_a_gather_is_as_its_gravest_step(
    statuses: tuple[StepStatus, ...], told: StepStatus
) -> None:
    steps = [
        step(f"1.{branch}.1", status=status, ended_at_ms=5)
        for branch, status in enumerate(statuses)
    ]
    gather = lines(*steps)[0]
    assert gather.status is told
    assert (gather.ended_at_ms is None) == (told is StepStatus.PENDING)


keys = st.lists(st.integers(0, 12), min_size=1, max_size=7).filter(lambda key: len(key) % 2 == 1)


@given(keys=st.lists(keys.map(lambda key: ".".join(map(str, key))), unique=True, max_size=12))
def test_every_step_has_one_line_and_stands_behind_the_gathers_it_is_in(keys: list[str]) -> None:
    told = lines(*map(step, keys))
    order = [line.key for line in told]
    assert sorted(line.key for line in told if line.kind != GATHER) == sorted(keys)
    assert len(set(order)) == len(order)
    for line in told:
        parts = line.key.split(".")
        assert line.depth == len(parts) // 2
        above = [".".join(parts[:end]) for end in range(1, len(parts) - 1, 2)]
        assert all(order.index(key) < order.index(line.key) for key in above)


@given(key=st.text(max_size=12))
def test_a_key_of_another_form_is_shown_as_it_is(key: str) -> None:
    assert key in {line.key for line in lines(step(key))}


def test_what_stopped_it_stands_behind_the_program_and_before_what_was_undone() -> None:
    told = lines(
        step("compensate.1"),
        step("stop.1", StepKind.CANCEL, name="cancel", input=b'"too dear"'),
        step("patch.v1.2.3", StepKind.PATCH),
        step("12"),
    )
    assert [line.key for line in told] == ["12", "patch.v1.2.3", "stop.1", "compensate.1"]
    assert {line.depth for line in told} == {0}
    assert told[2].note == '"too dear"'


# ── what a line says ─────────────────────────────────────────────────────────────────────────────


def test_a_line_tells_what_came_out_or_why_it_failed() -> None:
    gave, failed, silent = lines(
        step("1", output=b'{"total":7}'),
        step("2", status=StepStatus.FAILED, error=b'{"error":"OSError","message":"gone"}'),
        step("3"),
    )
    assert gave.note == '{"total":7}'
    assert failed.note == "OSError: gone"
    assert not silent.note


def test_a_line_says_how_long_it_took_or_has_taken_so_far() -> None:
    done, pending = lines(
        step("1", began_at_ms=100, ended_at_ms=350),
        step("2", began_at_ms=400, status=StepStatus.PENDING),
    )
    assert done.took_ms(now_ms=10_000) == 250
    assert pending.took_ms(now_ms=1_000) == 600
    assert pending.took_ms(now_ms=300) == 0, "the clocks of two machines"


def test_long_values_are_cut_and_broken_errors_shown_as_they_are() -> None:
    assert excerpt(b"x" * 100, most=5) == "xxxx…"
    assert failure_text(b'"just text"') == '"just text"'
    assert failure_text(b"{broken") == "{broken"
    assert failure_text(b'{"error":"ValueError","message":""}') == "ValueError"
    assert not failure_text(None)


# ── what is waited for ───────────────────────────────────────────────────────────────────────────


def test_every_pending_step_is_waited_for_soonest_begun_first() -> None:
    message_id = new_message_id()
    waits = waits_of(
        loaded(
            step("1", StepKind.RUN, name="now", output=b"1"),
            step("3", StepKind.SLEEP, status=StepStatus.PENDING, began_at_ms=9, due_at_ms=70),
            step(
                "2",
                name="charge",
                status=StepStatus.PENDING,
                began_at_ms=5,
                input=b'{"queue":"billing"}',
                message_id=message_id,
            ),
            step("4", StepKind.SIGNAL, name="approve", status=StepStatus.PENDING, began_at_ms=10),
            step("5", StepKind.CHILD, name="ship", status=StepStatus.PENDING, began_at_ms=11,
                 child_id=ExecutionId(IDENT)),
            step("6", StepKind.RUN, name="price", status=StepStatus.PENDING, began_at_ms=12),
        )
    )  # fmt: skip
    assert [(wait.step, wait.why, wait.until_ms) for wait in waits] == [
        ("2", f"actor charge in queue billing, message {text_from_id(message_id)}", None),
        ("3", "time to pass", 70),
        ("4", "signal approve", None),
        ("5", f"workflow ship, execution {IDENT}", None),
        ("6", "function price, which its orchestrator runs", None),
    ]


def test_a_call_whose_input_cannot_be_read_is_still_a_wait() -> None:
    (wait,) = waits_of(loaded(step("1", name="a", status=StepStatus.PENDING, input=b"[")))
    assert wait.why == "actor a"


def test_one_that_is_queued_waits_for_an_orchestrator() -> None:
    queued = replace(RUNNING, status=ExecutionStatus.QUEUED)
    (wait,) = waits_of(loaded(execution=queued))
    assert wait.since_ms == CREATED_MS
    assert "orchestrator.3" in wait.why


def test_one_that_is_blocked_says_why() -> None:
    blocked = replace(
        RUNNING,
        status=ExecutionStatus.BLOCKED,
        error=b'{"error":"WorkflowNotDeclared","message":"not here"}',
    )
    (wait,) = waits_of(loaded(step("1", ended_at_ms=CREATED_MS + 50), execution=blocked))
    assert (wait.why, wait.since_ms) == ("WorkflowNotDeclared: not here", CREATED_MS + 50)


def test_a_cancel_nobody_has_taken_is_waited_for() -> None:
    cancel = Signal(SignalId(IDENT), SignalKind.CANCEL, "", b'"late"', 7)
    sent = Signal(SignalId(IDENT), SignalKind.SENT, "other", b"1", 8)
    (wait,) = waits_of(loaded(signals=(cancel, sent)))
    assert wait.since_ms == 7
    assert "cancel" in wait.why


@pytest.mark.parametrize(
    "status",
    [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED,
     ExecutionStatus.CONTINUED],
)  # fmt: skip
def test_one_that_has_ended_waits_for_nothing(status: ExecutionStatus) -> None:
    ended = replace(RUNNING, status=status)
    assert waits_of(loaded(step("1", status=StepStatus.PENDING), execution=ended)) == []
