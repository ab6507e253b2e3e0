"""What may keep a message from running although it is ready: rate limits and shares of tenants."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from octoqueue.settings.quantities import PositiveCount, PositiveDuration, PositiveNumber
from octoqueue.settings.section import Section


class LimitSettings(Section):
    """How fast messages may run that use one rate limit; wins over the code of the actors."""

    rate: PositiveNumber
    """Units in each `per`."""

    per: PositiveDuration = timedelta(seconds=1)
    """The time in which `rate` units may start."""

    burst: Annotated[PositiveCount, Field(le=2**32 - 1)] | None = None
    """Units that may start at once after a quiet time; without a number, `rate`."""


class TenantSettings(Section):
    """The share of one tenant, or, as `default`, of every tenant that has none of its own."""

    weight: Annotated[PositiveNumber, Field(ge=0.01, le=100)] = 1
    """Its share of a lane beside other tenants that wait: 2 gets twice as many turns as 1."""

    concurrency: PositiveCount | None = None
    """Messages of it that run at the same time in one queue, at most; without a number, any."""
