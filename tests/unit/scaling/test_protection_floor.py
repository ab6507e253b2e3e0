"""Who is let finish: by the message that would lose most, and by what all of them have cost."""

from __future__ import annotations

from octoqueue.scaling.policy import Protection
from octoqueue.scaling.protection_floor import is_protected
from tests.fleet_snapshots import worker


def test_a_hundred_short_messages_protect_nobody_however_much_they_add_up_to() -> None:
    busy = worker(slots=100, running=100, at_risk_seconds=2_000, at_risk_longest_seconds=40)
    assert not is_protected(busy, Protection())


def test_one_long_message_protects_its_worker_among_short_ones() -> None:
    busy = worker(slots=100, running=100, at_risk_seconds=500, at_risk_longest_seconds=300)
    assert is_protected(busy, Protection())


def test_cost_protects_by_what_all_messages_have_spent() -> None:
    busy = worker(slots=100, running=100, at_risk_cost=5.0)
    assert is_protected(busy, Protection(at_risk_cost=5.0))
    assert not is_protected(busy, Protection(at_risk_cost=5.1))
