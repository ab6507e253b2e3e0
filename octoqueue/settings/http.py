"""`HttpSettings`: the application that takes tasks in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from octoqueue.settings.names import ImportTarget
from octoqueue.settings.quantities import Count
from octoqueue.settings.scaling_rules import ScalingSettings
from octoqueue.settings.section import Section


class HttpSettings(Section):
    """The HTTP edge that `octoqueue up` serves."""

    app: ImportTarget | None = None
    """The ASGI application, or a function without arguments that makes it: `module:attribute`.
    Without one, nothing is served."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. `0.0.0.0` lets other machines in."""

    port: Annotated[Count, Field(le=65_535)] = 8_000
    """Port to listen on; 0 takes a free one."""

    scaling: ScalingSettings = ScalingSettings()
    """How many processes of it there are to be, where something scales them."""

    @field_validator("scaling")
    @classmethod
    def _fits_an_edge(cls, scaling: ScalingSettings) -> ScalingSettings:
        if scaling.min == 0:
            raise ValueError("min: must be at least 1: where none is, no request can start one")
        objectives = scaling.objectives
        of_queues = {
            "depth": scaling.depth,
            "latency": scaling.latency,
            "objectives": objectives.high or objectives.normal or objectives.low or objectives.all,
        }
        told = next((name for name, value in of_queues.items() if value is not None), None)
        if told is not None and not scaling.queues:
            raise ValueError(
                f"{told}: counts messages, and the edge has no queues; use rate, or name queues"
            )
        return scaling
