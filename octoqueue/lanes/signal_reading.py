"""Answers of `signals.lua` and `minutes.lua` to values. Pure."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from octoqueue.errors import StoreProtocolError
from octoqueue.lanes.presences import is_wanted, presence_from, texts_to_look_for
from octoqueue.lanes.reading import PAUSED, counters_from, in_flight
from octoqueue.lanes.tallies import counts_of, service_of, tally_from, waits_of
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.signals import LaneSignals, Presence, QueueSignals, SignalReading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.lanes.tallies import Tally

log = logging.getLogger(__name__)

_OLDEST, _HELD_BACK, _DELAYED, _DUE, _TALLIES, _COUNTERS = 3, 6, 9, 10, 11, 12
_SAID_AT = struct.Struct(">Q")

Answer = list[Any]
"""When it was, and each queue."""


class Workers(NamedTuple):
    """What was read of workers: until when sessions live, and what was said in their names."""

    until_ms: Mapping[bytes, float]
    said: Sequence[tuple[bytes, bytes]]


def joined(answers: Sequence[Answer]) -> Answer:
    """Return the answers of one scope for some queues each as one; the first tells the time."""
    return [answers[0][0], [queue for answer in answers for queue in answer[1]]]


def reading_from(
    queues: Sequence[str],
    fleet: str,
    answers: Sequence[Answer],
    workers: Workers,
    *,
    due_within_seconds: int,
) -> SignalReading:
    """Return the sum of one answer a scope, and who is alive by the first.

    Raises:
        StoreProtocolError: a number cannot be read.
    """
    moments = [int(answer[0]) for answer in answers]
    found: list[QueueSignals] = []
    for number, queue in enumerate(queues):
        parts = [answer[1][number] for answer in answers]
        try:
            found.append(_queue(queue, parts, moments, due_within_seconds))
        except (ValueError, TypeError, struct.error) as error:
            raise StoreProtocolError(f"a signal of queue {queue!r} is no number: {error}") from None
    present, unreadable = _workers(workers, queues, fleet, now_ms=moments[0])
    return SignalReading(
        taken_at_ms=min(moments),
        queues=tuple(found),
        workers=tuple(present),
        unreadable_presences=unreadable,
    )


def _queue(
    queue: str, parts: Sequence[Answer], moments: Sequence[int], due_within_seconds: int
) -> QueueSignals:
    counted = [counters_from(part[_COUNTERS]) for part in parts]
    tallies = [
        tally_from(part[_TALLIES], counters, now)
        for part, counters, now in zip(parts, counted, moments, strict=True)
    ]
    return queue_signals(
        queue,
        tallies,
        waiting=[sum(part[lane] for part in parts) for lane in LANES],
        held_back=[sum(part[_HELD_BACK + lane] for part in parts) for lane in LANES],
        oldest_ms=[max(part[_OLDEST + lane] for part in parts) for lane in LANES],
        delayed=sum(part[_DELAYED] for part in parts),
        due_soon=sum(part[_DUE] for part in parts),
        due_within_seconds=due_within_seconds,
        leased=sum(map(in_flight, counted)),
        paused=any(PAUSED in counters for counters in counted),
        taken_at_ms=min(moments),
    )


def queue_signals(
    queue: str,
    tallies: Sequence[Tally],
    *,
    waiting: Sequence[int],
    held_back: Sequence[int],
    oldest_ms: Sequence[int],
    delayed: int,
    due_soon: int,
    due_within_seconds: int,
    leased: int,
    paused: bool,
    taken_at_ms: int,
) -> QueueSignals:
    """Return the signals of a queue; ages and what is leased are never below 0."""
    lanes = {
        lane: LaneSignals(
            lane=lane,
            waiting=waiting[lane],
            held_back=min(held_back[lane], waiting[lane]),
            oldest_age_seconds=max(0, oldest_ms[lane]) / 1000,
            arrivals=counts_of([tally.lanes[lane].arrivals for tally in tallies]),
            starts=counts_of([tally.lanes[lane].starts for tally in tallies]),
            waits=waits_of([tally.lanes[lane] for tally in tallies]),
        )
        for lane in Lane
    }
    return QueueSignals(
        queue=queue,
        taken_at_ms=taken_at_ms,
        lanes=lanes,
        delayed=delayed,
        due_soon=due_soon,
        due_within_seconds=due_within_seconds,
        in_flight=max(0, leased),
        completions=counts_of([tally.completions for tally in tallies]),
        failures=counts_of([tally.failures for tally in tallies]),
        service=service_of(tallies),
        paused=paused,
    )


def _workers(
    workers: Workers, queues: Sequence[str], fleet: str, *, now_ms: int
) -> tuple[list[Presence], int]:
    texts = texts_to_look_for(queues, fleet)
    found: list[Presence] = []
    unreadable = 0
    for session, text in workers.said:
        if workers.until_ms.get(session, 0) <= now_ms or not _may_be_wanted(text, texts):
            continue
        try:
            (said_at_ms,) = _SAID_AT.unpack_from(text)
            presence = presence_from(session.decode(), said_at_ms, text[_SAID_AT.size :])
        except (ValueError, struct.error) as error:
            unreadable += 1
            log.warning(
                "presence_unreadable", extra={"session": repr(session), "reason": str(error)}
            )
            continue
        if is_wanted(presence, queues, fleet):
            found.append(presence)
    return sorted(found, key=lambda worker: (worker.name, worker.session)), unreadable


def _may_be_wanted(text: bytes, texts: Sequence[bytes]) -> bool:
    """Whether it is worth decoding; what is no presence at all is, so that somebody hears of it."""
    is_one = text[_SAID_AT.size : _SAID_AT.size + 1] == b"{" and text.endswith(b"}")
    return not is_one or any(each in text for each in texts)
