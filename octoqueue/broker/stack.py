"""The default middleware, and what dramatiq's own middleware says about actors that say nothing.

dramatiq keeps its defaults in middleware, we keep ours in `Defaults`. The default stack is made
from our defaults, and a program's own `Retries`, `TimeLimit` or `AgeLimit` is read back into them,
so that a message meets the same rules in our worker and in the stock one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)

from octoqueue.broker.event_loop import BackgroundAsyncIO
from octoqueue.broker.lanes_middleware import Lanes
from octoqueue.primitives.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.broker.options import Defaults

_MILLISECOND = timedelta(milliseconds=1)


def default_middleware(defaults: Defaults) -> list[Middleware]:
    """Return dramatiq's default stack, with an event loop for async actors, and ours at its end."""
    stack: list[Middleware] = [
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        CurrentMessage(),
        BackgroundAsyncIO(),
        Callbacks(),
        Pipelines(),
        Retries(),
        Lanes(),
    ]
    adjust(stack, defaults)
    return stack


def adjust(stack: Iterable[Middleware], defaults: Defaults) -> None:
    """Let dramatiq's middleware say what our defaults say."""
    for middleware in stack:
        if isinstance(middleware, Retries):
            middleware.max_retries = defaults.retry.max_retries  # type: ignore[assignment]
            middleware.min_backoff = defaults.retry.min_backoff // _MILLISECOND
            middleware.max_backoff = defaults.retry.max_backoff // _MILLISECOND
            middleware.retry_when = defaults.retry_when
        elif isinstance(middleware, TimeLimit):
            limit = defaults.time_limit
            middleware.time_limit = math.inf if limit is None else limit / _MILLISECOND
        elif isinstance(middleware, AgeLimit):
            limit = defaults.max_age
            age: Any = middleware
            age.max_age = None if limit is None else limit // _MILLISECOND


def defaults_from(stack: Iterable[Middleware], defaults: Defaults) -> Defaults:
    """Return the defaults with what a program's own middleware says instead."""
    for middleware in stack:
        if isinstance(middleware, Retries):
            shortest = timedelta(milliseconds=middleware.min_backoff)
            longest = timedelta(milliseconds=middleware.max_backoff)
            policy = RetryPolicy(
                max_retries=middleware.max_retries,
                min_backoff=shortest,
                max_backoff=max(shortest, longest),
            )
            defaults = replace(defaults, retry=policy, retry_when=middleware.retry_when)
        elif isinstance(middleware, TimeLimit):
            ms = middleware.time_limit
            limit = None if ms == math.inf else timedelta(milliseconds=ms)
            defaults = replace(defaults, time_limit=limit)
        elif isinstance(middleware, AgeLimit):
            age_ms: int | None = getattr(middleware, "max_age", None)
            age = None if age_ms is None else timedelta(milliseconds=age_ms)
            defaults = replace(defaults, max_age=age)
        elif isinstance(middleware, ShutdownNotifications):
            defaults = replace(defaults, notify_shutdown=bool(middleware.notify_shutdown))
    return defaults
