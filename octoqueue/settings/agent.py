"""`AgentSettings`: the fleet agent of one machine."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from octoqueue.settings.quantities import (
    Count,
    Duration,
    PositiveCount,
    PositiveDuration,
    PositiveSize,
)
from octoqueue.settings.section import Section


class AgentSettings(Section):
    """What `octoqueue up` does about the worker processes of this machine."""

    elastic: bool = True
    """Fleets with a section `scaling` follow their work, from `scaling.min`, or else `processes`,
    to `scaling.max`; `false`: all have as many as `processes` says."""

    every: PositiveDuration = timedelta(seconds=5)
    """How often it decides how many processes each fleet has."""

    max_processes: PositiveCount | None = None
    """Worker processes of all fleets, at most. Without a number, the least of each fleet together
    and two more for each processor. The least of a fleet runs in any case."""

    max_memory: PositiveSize | None = None
    """Resident memory of all worker processes, at most: no more are started than have room in it.
    Without a size, four fifths of the machine's."""

    max_worker_memory: PositiveSize | None = None
    """A worker that has more resident memory is replaced by a new one, then drains."""

    orphan_grace: Duration = timedelta(seconds=30)
    """How long workers go on working when the agent has died without ending them. An agent that is
    started within this time takes them over."""

    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address of `/metrics`. `0.0.0.0` lets others in."""

    metrics_port: Annotated[Count, Field(le=65_535)] | None = None
    """Port of `/metrics`, which tells what is decided for fleets with a section `scaling`; 0 takes
    a free one, `null` serves none."""
