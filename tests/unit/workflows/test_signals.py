"""Signals as people send them: what their value must be, where the code is here and where not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from octoqueue.errors import InputTooLarge, SignalInvalid, SignalUnknown
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.signals import cancel_for, signal_from_json
from octoqueue.workflows.starts import queued_from
from octoqueue.workflows.states import SignalKind
from tests.contract.workflow_values import a_workflow

EXECUTION = queued_from(a_workflow("order-17"), created_at=datetime(2026, 5, 4, tzinfo=UTC))


@dataclass
class Approval:
    by: str
    on: date


@pytest.fixture
def registry() -> Registry:
    async def order(ctx: Any) -> None: ...  # noqa: ANN401

    registry = Registry()
    define(order, signals={"approve": Approval, "note": Any}, registry=registry)
    return registry


def sent(registry: Registry, name: str, text: bytes) -> bytes:
    signal = signal_from_json(EXECUTION, name, text, now_ms=7, definitions=registry)
    assert (signal.kind, signal.name, signal.sent_at_ms) == (SignalKind.SENT, name, 7)
    return signal.value


def test_a_value_of_the_declared_type_is_kept_as_that_type_writes_it(registry: Registry) -> None:
    given = b' { "by":"ada",  "on": "2026-05-04" } '
    assert sent(registry, "approve", given) == b'{"by":"ada","on":"2026-05-04"}'
    assert sent(registry, "note", b" [1, 2] ") == b"[1,2]"


@pytest.mark.parametrize("text", [b"7", b'{"by":"ada"}', b"{", b"", b"\xff"], ids=repr)
def test_a_value_of_another_type_is_refused_with_the_ids(registry: Registry, text: bytes) -> None:
    with pytest.raises(SignalInvalid) as refused:
        sent(registry, "approve", text)
    assert (refused.value.workflow_id, refused.value.signal) == ("order-17", "approve")


def test_a_signal_that_is_not_declared_is_refused_with_those_that_are(registry: Registry) -> None:
    with pytest.raises(SignalUnknown, match="approve, note"):
        sent(registry, "aprove", b"true")


def test_where_the_code_is_not_any_json_is_taken() -> None:
    assert sent(Registry(), "approve", b" 7 ") == b"7"
    with pytest.raises(SignalInvalid, match="order-17"):
        sent(Registry(), "approve", b"yes")


def test_a_value_over_the_limit_is_refused_with_both_sizes(registry: Registry) -> None:
    with pytest.raises(InputTooLarge) as refused:
        signal_from_json(EXECUTION, "note", b'"12345"', now_ms=0, limit_bytes=6)
    assert (refused.value.value_bytes, refused.value.limit_bytes) == (7, 6)
    assert refused.value.workflow_id == "order-17"
    exact = signal_from_json(EXECUTION, "note", b'"1234"', now_ms=0, limit_bytes=6)
    assert exact.value == b'"1234"'


def test_a_cancel_carries_its_reason() -> None:
    signal = cancel_for('ordered "twice"', now_ms=9)
    assert (signal.kind, signal.value, signal.sent_at_ms) == (
        SignalKind.CANCEL, b'"ordered \\"twice\\""', 9,
    )  # fmt: skip


def test_a_reason_with_half_a_character_is_kept_without_it() -> None:
    assert cancel_for("odd \ud800 \0", now_ms=7).value == b'"odd ? \\u0000"'
