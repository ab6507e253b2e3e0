"""A store to look at: nothing is started and nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from octoqueue.broker.sources import SettingsSource
from octoqueue.cli.agent_place import state_dir_of
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.protocol import LaneStore
from octoqueue.settings.root import Settings

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncGenerator[LaneStore]:
    """Open the store that the configuration means, for the time of the block.

    Raises:
        StoreUnavailable: no URL is configured, and no private Redis is running.
    """
    store = await SettingsSource(await with_redis(settings)).open()
    try:
        yield store
    finally:
        await store.aclose()


async def with_redis(settings: Settings) -> Settings:
    """Return the settings with the URL of the private Redis when none is configured.

    Raises:
        StoreUnavailable: none is configured, and no private one is running.
    """
    if settings.redis.url is not None:
        return settings
    redis = settings.redis.model_copy(update={"url": await _private_redis(settings)})
    return settings.model_copy(update={"redis": redis})


async def _private_redis(settings: Settings) -> str:
    for status in await EmbeddedServices(state_dir_of(settings)).status():
        if status.name == "redis" and status.readiness is Readiness.READY and status.url:
            return status.url
    raise StoreUnavailable(
        "Redis",
        reason="no OCTOQUEUE_REDIS_URL is set and no private one is running; "
        "'octoqueue up' starts one",
    )


def age_from(seconds: float) -> str:
    """Return a time span as a person reads it: its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} m {seconds % _MINUTE:02.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:02.0f} m"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:02.0f} h"
