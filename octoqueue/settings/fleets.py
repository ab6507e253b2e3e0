"""`FleetSettings`: the workers of one arm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from octoqueue.settings.names import ModuleName, QueueName
from octoqueue.settings.quantities import Count, PositiveCount
from octoqueue.settings.section import Section


class FleetSettings(Section):
    """Workers that scale together: what they import, what they claim, how much each runs."""

    queues: Annotated[tuple[QueueName, ...], Field(min_length=1)]
    """Queues that the workers claim from."""

    modules: Annotated[tuple[ModuleName, ...], Field(min_length=1)]
    """Modules that declare the actors."""

    concurrency: PositiveCount = 100
    """Messages that one worker process runs at the same time, at most."""

    processes: Count = 1
    """Worker processes that `octoqueue up` starts; 0 leaves the fleet to somebody else."""
