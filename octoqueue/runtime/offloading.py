"""`Offloader`: puts results that are too large for Redis away before they are committed.

While the object store cannot be reached a result waits here, with its lease, as it does for Redis;
what the store will never take makes the message a dead letter.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from octoqueue.broker.completions import died_of
from octoqueue.broker.records import error_record, reason_of
from octoqueue.errors import OctoqueueError
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import Outcome, ResultRecord, Settlement

if TYPE_CHECKING:
    from octoqueue.broker.claim_checks import ClaimChecks
    from octoqueue.primitives.clock import Clock

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5
_LONGEST_SECONDS = 10.0


class Offloader:
    """Settles large results in two steps."""

    def __init__(self, checks: ClaimChecks, *, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock

    def takes(self, settlement: Settlement) -> bool:
        """Whether the result of a settlement must be put away first."""
        return self._checks.is_too_large(settlement.result)

    async def offloaded(self, settlement: Settlement) -> Settlement:
        """Return the settlement with the claim check of its result."""
        result, ident = settlement.result, settlement.lease.message_id
        assert result is not None  # noqa: S101 - `takes` has seen it
        wait_seconds = _AGAIN_SECONDS
        while True:
            try:
                check = await self._checks.deposited(result, ident)
            except Exception as error:  # noqa: BLE001 - whatever it was, the message must end
                facts = {"message_id": text_from_id(ident), "reason": str(error)}
                if not (isinstance(error, OctoqueueError) and error.retryable):
                    log.warning("result_refused", extra=facts)
                    return self._dead(settlement, error, result.ttl_ms)
                if wait_seconds == _AGAIN_SECONDS:
                    log.warning("result_not_stored", extra=facts)
                await self._clock.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, _LONGEST_SECONDS)
            else:
                return replace(settlement, result=check)

    def _dead(self, settlement: Settlement, error: Exception, ttl_ms: int) -> Settlement:
        return replace(
            settlement,
            outcome=Outcome.DEAD_LETTER,
            reason=orjson.dumps(reason_of(error)),
            result=ResultRecord(body=orjson.dumps(error_record(error)), ttl_ms=ttl_ms),
            follow_ups=died_of(settlement.lease, error, now_ms=self._clock.now_ms()),
        )
