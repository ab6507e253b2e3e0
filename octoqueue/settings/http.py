"""`HttpSettings`: the application that takes tasks in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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
