"""Decisions, overrides, forecasts and lead times as the bytes that are kept of them, and back.

A key that a later version adds is ignored; one that is missing has its default.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.errors import StoreProtocolError
from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.decision import Decision, Step
from octoqueue.scaling.override import Override
from octoqueue.scaling.wishes import Lead

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def record_of(value: Decision | ArrivalForecast) -> bytes:
    """Return the bytes of a decision or of a forecast."""
    return orjson.dumps(value)


def override_record_of(*, workers: int, said_by: str, beyond_max: bool) -> bytes:
    """Return the bytes of an override; until when it counts, the store keeps beside it."""
    return orjson.dumps({"workers": workers, "said_by": said_by, "beyond_max": beyond_max})


def lead_record_of(lead: Lead) -> bytes:
    """Return the bytes of a lead time."""
    return orjson.dumps([lead.workers, lead.since_ms, lead.seconds])


def override_from(record: bytes, until_ms: int) -> Override:
    """Return an override; raises StoreProtocolError as all of these do."""
    return _understood(
        "an override",
        record,
        lambda found: Override(
            workers=found["workers"],
            until_ms=until_ms,
            said_by=found.get("said_by", "somebody"),
            beyond_max=found.get("beyond_max", False),
        ),
    )


def lead_from(record: bytes) -> Lead:
    """Return a lead time."""
    return _understood("a lead time", record, _lead)


def _lead(found: list[Any]) -> Lead:
    workers, since_ms, seconds = found[:3]
    return Lead(int(workers), int(since_ms), float(seconds))


@lru_cache(maxsize=1_024)
def decision_from(record: bytes) -> Decision:
    """Return a decision."""
    return _understood("a decision", record, _decision)


@lru_cache(maxsize=256)
def forecast_from(record: bytes) -> ArrivalForecast:
    """Return a forecast. It is read again and again, and made once a minute."""
    return _understood("a forecast", record, _forecast)


def _decision(found: dict[str, Any]) -> Decision:
    steps = tuple(
        Step(
            rule=step["rule"],
            workers=step["workers"],
            reason=step["reason"],
            is_decisive=step.get("is_decisive", False),
        )
        for step in found["steps"]
    )
    return Decision(
        fleet=found["fleet"],
        at_ms=found["at_ms"],
        workers=found["workers"],
        is_active=found["is_active"],
        steps=steps,
        reason=found["reason"],
        warnings=tuple(found.get("warnings", ())),
        last_active_at_ms=found.get("last_active_at_ms"),
    )


def _forecast(found: dict[str, Any]) -> ArrivalForecast:
    minutes = tuple(
        ExpectedArrivals(
            starts_at_ms=minute["starts_at_ms"],
            per_second=minute["per_second"],
            low_per_second=minute["low_per_second"],
            high_per_second=minute["high_per_second"],
            follows=minute.get("follows", 0.0),
            spread=minute.get("spread", 0.0),
        )
        for minute in found["minutes"]
    )
    return ArrivalForecast(
        made_at_ms=found["made_at_ms"],
        minutes=minutes,
        interval=found["interval"],
        skill_against_now=found["skill_against_now"],
        skill_against_last_week=found["skill_against_last_week"],
        scored_minutes=found["scored_minutes"],
        scored_beside_week=found.get("scored_beside_week", 0),
        offset_per_second=found.get("offset_per_second", 0.0),
        tail=tuple((probability, spreads) for probability, spreads in found.get("tail", ())),
        highest_per_second=found.get("highest_per_second", 0.0),
    )


def _understood(what: str, record: bytes, read: Callable[[Any], T]) -> T:
    try:
        return read(orjson.loads(record))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise StoreProtocolError(
            f"{what} that scaling remembers cannot be understood: {error!r}"
        ) from error
