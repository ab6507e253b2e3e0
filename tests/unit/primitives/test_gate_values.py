from __future__ import annotations

from datetime import timedelta

import pytest

from octoqueue.errors import ConfigError
from octoqueue.lanes.reading import ENDED
from octoqueue.primitives.gates import (
    Aging,
    Gates,
    RateLimit,
    Reservation,
    TenantShare,
    next_tag,
    opens_at_ms,
    share_of_cap,
)
from octoqueue.redis.calls.gates import definitions
from octoqueue.redis.scripts import script

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("weight", [0.0, 0.009, -1.0, 100.5, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused_by_name(weight: float) -> None:
    with pytest.raises(ConfigError, match="weight") as caught:
        TenantShare(weight=weight)
    assert caught.value.key == "tenants.weight"


def test_caps_below_one_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="concurrency is 0"):
        TenantShare(concurrency=0)
    with pytest.raises(ConfigError, match="actor:ask is 0"):
        Gates(caps={"actor:ask": 0})
    with pytest.raises(ConfigError) as caught:
        Gates(queue_caps={"coder": -1})
    assert caught.value.key == "lanes.queues.coder.concurrency"


@pytest.mark.parametrize(
    ("rate", "per", "burst", "key"),
    [
        (0, SECOND, 1, "limits.rate"),
        (1e-300, SECOND, 1, "limits.rate"),
        (1, SECOND, 2**32, "limits.burst"),
        (float("inf"), SECOND, 1, "limits.rate"),
        (float("nan"), SECOND, 1, "limits.rate"),
        (1, timedelta(0), 1, "limits.per"),
        (1, SECOND, 0, "limits.burst"),
    ],
)
def test_an_impossible_limit_is_refused_by_name(
    rate: float, per: timedelta, burst: int, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        RateLimit(rate=rate, per=per, burst=burst)
    assert caught.value.key == key


def test_a_share_is_the_tenants_own_or_the_default_or_even() -> None:
    own, default = TenantShare(weight=2), TenantShare(concurrency=3)
    gates = Gates(tenants={"acme": own, "": default})
    assert gates.share_of("acme") is own
    assert gates.share_of("other") is default
    assert Gates().share_of("other") == TenantShare(weight=1, concurrency=None)


def test_shares_of_a_cap_add_up_to_it_or_are_one_each() -> None:
    assert [share_of_cap(8, index=n, shares=3) for n in range(3)] == [3, 3, 2]
    assert [share_of_cap(2, index=n, shares=3) for n in range(3)] == [1, 1, 1]


def test_an_age_is_at_least_a_millisecond_and_0_means_never() -> None:
    assert Aging().low_ms == 0
    assert Aging(low=timedelta(microseconds=1)).low_ms == 1
    assert Aging(normal=timedelta(seconds=2)).normal_ms == 2_000


def test_a_limit_opens_when_a_burst_has_room() -> None:
    limit = RateLimit(rate=10, per=SECOND, burst=5)
    assert opens_at_ms(limit, 1_000, 5) == 1_000
    assert opens_at_ms(limit, 1_000, 1) == 600
    assert opens_at_ms(limit, 1_000, 50) == 1_000


def test_what_has_passed_is_not_refunded() -> None:
    reservation = Reservation(units=10, begins_ms=1_000, shift_ms=0, unit_ms=10)
    assert reservation.refund_ms(0, now_ms=1_000, shift_ms=0) == 100
    assert reservation.refund_ms(4, now_ms=1_000, shift_ms=0) == 60
    assert reservation.refund_ms(0, now_ms=1_070, shift_ms=0) == 30
    assert reservation.refund_ms(0, now_ms=2_000, shift_ms=0) == 0
    assert reservation.refund_ms(12, now_ms=2_000, shift_ms=0) == -20


def test_refunds_since_then_may_have_moved_a_reservation() -> None:
    reservation = Reservation(units=5, begins_ms=1_005, shift_ms=2, unit_ms=1)
    assert reservation.refund_ms(0, now_ms=1_004, shift_ms=7) == 1


def test_a_turn_comes_a_weight_after_the_last() -> None:
    assert next_tag(served=3, own=1, weight=2) == 3.5
    assert next_tag(served=3, own=4, weight=0.5) == 6


def test_definitions_are_written_in_shares() -> None:
    gates = Gates(
        tenants={"": TenantShare(weight=0.1), "acme": TenantShare(concurrency=2)},
        caps={"actor:ask": 3},
        limits={"openai": RateLimit(rate=3, per=SECOND, burst=10)},
    )
    assert definitions(gates) == {
        "t": "0.1 0",
        "tacme": "1.0 2",
        "cactor:ask": "3",
        "lopenai": f"{1000 / 3!r} 10.0",
    }
    assert definitions(gates, index=1, shares=2)["cactor:ask"] == "1"
    assert definitions(gates, index=0, shares=2)["lopenai"] == f"{2000 / 3!r} 5.0"


def test_lua_adds_up_the_endings_that_python_does() -> None:
    source = script("claim").source
    words = source.split("'HMGET', stats, 'claimed',")[1].split(")", maxsplit=1)[0]
    assert sorted(word.strip(" '\n") for word in words.split(",")) == sorted(ENDED)
