"""A history as a file: read back it is what it was; what is none is refused with its field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import HistoryUnreadable
from octoqueue.primitives.body_json import json_from
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.executions import Execution, ExecutionId, Parent, WorkflowId
from octoqueue.workflows.exports import history_document, history_from, history_json
from octoqueue.workflows.journal import Signal, SignalId, Step
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# ── any history ──────────────────────────────────────────────────────────────────────────────────

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
texts = json_values.map(json_from) | st.sampled_from([b'{"a": 1}', b"1e2", b" NaN", b"2" * 40])
message_ids = st.builds(new_message_id)
uuids = message_ids.map(text_from_id)
numbers = st.integers(0, 2**53)
moments = st.datetimes(timezones=st.just(UTC))

executions = st.builds(
    Execution,
    workflow_id=words.map(WorkflowId),
    execution_id=uuids.map(ExecutionId),
    partition=numbers,
    name=words,
    version=numbers,
    run=numbers,
    status=st.sampled_from(ExecutionStatus),
    input=texts,
    output=st.none() | texts,
    error=st.none() | texts,
    lane=st.sampled_from(Lane),
    tenant=st.none() | words,
    complexity=st.sampled_from(Complexity),
    signals=st.none() | st.lists(words, max_size=3).map(tuple),
    deadline_at_ms=st.none() | numbers,
    parent=st.none() | st.builds(Parent, execution_id=uuids.map(ExecutionId), step=words),
    created_at=moments,
    started_at=st.none() | moments,
    finished_at=st.none() | moments,
)
steps = st.builds(
    Step,
    key=words,
    kind=st.sampled_from(StepKind),
    name=words,
    digest=st.binary(max_size=32),
    status=st.sampled_from(StepStatus),
    order=numbers,
    input=st.none() | texts,
    output=st.none() | texts,
    error=st.none() | texts,
    message_id=st.none() | message_ids,
    child_id=st.none() | uuids.map(ExecutionId),
    due_at_ms=st.none() | numbers,
    began_at_ms=numbers,
    ended_at_ms=st.none() | numbers,
    attempts=numbers,
)
signals = st.builds(
    Signal,
    signal_id=uuids.map(SignalId),
    kind=st.sampled_from(SignalKind),
    name=words,
    value=texts,
    sent_at_ms=numbers,
)


def _order_of(step: Step) -> object:
    return step.order or object()


histories = st.builds(
    Loaded,
    execution=executions,
    steps=st.lists(steps, max_size=5, unique_by=(lambda step: step.key, _order_of)).map(tuple),
    signals=st.lists(signals, max_size=3).map(tuple),
)


@given(loaded=histories)
def test_a_history_read_back_is_what_it_was_to_the_byte(loaded: Loaded) -> None:
    assert history_from(history_json(loaded)) == loaded


@given(loaded=histories)
def test_a_file_is_plain_json_and_says_what_it_is(loaded: Loaded) -> None:
    told = orjson.loads(history_json(loaded))
    assert (told["format"], told["version"]) == ("octoqueue-history", 1)
    assert len(told["steps"]) == len(loaded.steps)


@given(noise=json_values.map(json_from) | st.binary(max_size=60))
def test_what_is_no_history_is_refused_and_never_anything_else(noise: bytes) -> None:
    with pytest.raises(HistoryUnreadable):
        history_from(noise)


# ── one history ──────────────────────────────────────────────────────────────────────────────────

EXECUTION = "0198c0de-0000-7000-8000-000000000abc"


@pytest.fixture
def document() -> dict[str, Any]:
    execution = Execution(
        workflow_id=WorkflowId("order-17"),
        execution_id=ExecutionId(EXECUTION),
        partition=3,
        name="order",
        version=1,
        run=1,
        status=ExecutionStatus.RUNNING,
        input=b'{"items":[1,2]}',
        output=None,
        error=None,
        lane=Lane.HIGH,
        tenant="acme",
        complexity=Complexity.MEDIUM,
        signals=("approve",),
        deadline_at_ms=None,
        parent=Parent(execution_id=ExecutionId(EXECUTION), step="2"),
        created_at=datetime(2026, 5, 4, 3, 2, 1, 17, tzinfo=UTC),
        started_at=None,
        finished_at=None,
    )
    reserved = Step(
        key="1",
        kind=StepKind.CALL,
        name="reserve",
        digest=b"\x01\x02",
        status=StepStatus.COMPLETED,
        order=1,
        output=b"null",
        message_id=new_message_id(),
        attempts=2,
    )
    waiting = Step("2", StepKind.SIGNAL, "approve", b"", StepStatus.PENDING)
    sent = Signal(SignalId(EXECUTION), SignalKind.SENT, "approve", b"true")
    return history_document(Loaded(execution=execution, steps=(reserved, waiting), signals=(sent,)))


def test_values_stand_in_it_as_the_json_they_are(document: dict[str, Any]) -> None:
    assert document["execution"]["input"] == {"items": [1, 2]}
    assert document["signals"][0]["value"] is True


def test_no_value_and_the_value_null_are_different(document: dict[str, Any]) -> None:
    reserved, waiting = document["steps"]
    assert reserved["output"] is None
    assert "output" not in waiting
    read = history_from(orjson.dumps(document))
    assert [step.output for step in read.steps] == [b"null", None]


def test_a_value_as_deep_as_json_goes_is_written_and_read(document: dict[str, Any]) -> None:
    deep = b"[" * 253 + b"]" * 253
    read = history_from(orjson.dumps(document))
    step = read.steps[0]._replace(output=deep)
    loaded = Loaded(execution=read.execution, steps=(step,), signals=())
    assert history_from(history_json(loaded)) == loaded


def test_fields_of_later_versions_are_passed_over(document: dict[str, Any]) -> None:
    expected = history_from(orjson.dumps(document))
    document["steps"][0]["mood"] = "fine"
    assert history_from(orjson.dumps(document)) == expected


WRONG: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("format", lambda told: told.pop("format")),
    ("format", lambda told: told.update(format="dump")),
    ("version", lambda told: told.update(version=2)),
    ("execution", lambda told: told.update(execution=[])),
    ("execution.execution_id", lambda told: told["execution"].update(execution_id="x")),
    ("execution.input", lambda told: told["execution"].pop("input")),
    ("execution.input_text", lambda told: _as_text(told["execution"], "{")),
    ("execution.lane", lambda told: told["execution"].update(lane="urgent")),
    ("execution.partition", lambda told: told["execution"].update(partition=-1)),
    ("execution.partition", lambda told: told["execution"].update(partition=True)),
    ("execution.signals", lambda told: told["execution"].update(signals=[1])),
    ("execution.created_at", lambda told: told["execution"].update(created_at="today")),
    ("execution.created_at", lambda told: told["execution"].update(created_at="2026-05-04T03:02")),
    ("execution.parent.step", lambda told: told["execution"]["parent"].pop("step")),
    ("steps", lambda told: told.update(steps={})),
    ("steps[1]", lambda told: told["steps"].__setitem__(1, 7)),
    ("steps[0].kind", lambda told: told["steps"][0].update(kind="cal")),
    ("steps[0].digest", lambda told: told["steps"][0].update(digest="zz")),
    ("steps[0].message_id", lambda told: told["steps"][0].update(message_id="AB")),
    ("steps[1].key", lambda told: told["steps"][1].update(key="1")),
    ("steps[1].order", lambda told: told["steps"][1].update(order=1)),
    ("signals[0].name", lambda told: told["signals"][0].update(name=7)),
    ("signals[0].value", lambda told: told["signals"][0].pop("value")),
]


def _as_text(execution: dict[str, Any], text: str) -> None:
    del execution["input"]
    execution["input_text"] = text


@pytest.mark.parametrize(
    ("field", "spoil"), WRONG, ids=[f"{index} {field}" for index, (field, _) in enumerate(WRONG)]
)
def test_the_field_that_is_wrong_is_named(
    document: dict[str, Any], field: str, spoil: Callable[[dict[str, Any]], object]
) -> None:
    spoil(document)
    with pytest.raises(HistoryUnreadable) as refused:
        history_from(orjson.dumps(document))
    assert refused.value.field == field
    assert field in str(refused.value)


def test_a_word_that_is_none_of_those_known_is_told_them(document: dict[str, Any]) -> None:
    document["steps"][0]["status"] = "done"
    with pytest.raises(HistoryUnreadable, match=r"'done', which is none of pending, completed"):
        history_from(orjson.dumps(document))
