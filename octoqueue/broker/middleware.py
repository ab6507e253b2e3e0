"""Which middleware runs how: ours, dramatiq's that we replace, and everybody else's.

Retries, time limits, age limits and shutdown are part of our worker's loop, so dramatiq's
middleware for them only lends it its options. Callbacks and pipelines are called for messages that
carry their options, and for no other. Every other middleware gets all its hooks.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    SkipMessage,
    TimeLimit,
)

from octoqueue.broker.options import OWN_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from dramatiq.broker import Broker, MessageProxy

log = logging.getLogger(__name__)

NATIVE = (AgeLimit, AsyncIO, CurrentMessage, Retries, ShutdownNotifications, TimeLimit)
ON_DEMAND: Mapping[type[Middleware], frozenset[str]] = {
    Callbacks: frozenset({"on_success", "on_failure"}),
    Pipelines: frozenset({"pipe_target"}),
}


class Lanes(Middleware):
    """Owns the options of an actor that dramatiq does not know."""

    @property
    def actor_options(self) -> set[str]:
        """The option names."""
        return set(OWN_OPTIONS)


def default_middleware() -> list[Middleware]:
    """Return dramatiq's default stack with ours in front."""
    return [
        Lanes(),
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        CurrentMessage(),
        Callbacks(),
        Pipelines(),
        Retries(),
    ]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks around one message, resolved once to those that really override something."""

    broker: Broker
    before: tuple[Middleware, ...]
    after: tuple[Middleware, ...]
    skipped: tuple[Middleware, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to call."""
        return bool(self.before or self.after or self.skipped)

    def before_process(self, message: MessageProxy) -> bool:
        """Call the hooks before the actor; False when one of them says to skip the message."""
        for middleware in self.before:
            try:
                middleware.before_process_message(self.broker, message)
            except SkipMessage:
                return False
            except Exception:
                log.exception("hook_failed", extra={"hook": "before_process_message"})
        return True

    def after_process(
        self, message: MessageProxy, *, result: object, exception: BaseException | None
    ) -> None:
        """Call the hooks after the actor, last first."""
        for middleware in self.after:
            with logged("after_process_message"):
                middleware.after_process_message(
                    self.broker, message, result=result, exception=exception
                )

    def after_skip(self, message: MessageProxy) -> None:
        """Call the hooks of a skipped message."""
        for middleware in self.skipped:
            with logged("after_skip_message"):
                middleware.after_skip_message(self.broker, message)


@contextmanager
def logged(hook: str) -> Generator[None]:
    """A broken hook is logged and never breaks the worker."""
    try:
        yield
    except Exception:
        log.exception("hook_failed", extra={"hook": hook})


def overrides(middleware: Middleware, hook: str) -> bool:
    """Return whether a middleware does anything at a hook."""
    return getattr(type(middleware), hook) is not getattr(Middleware, hook)


def hooks_of(broker: Broker, middleware: Iterable[Middleware], carried: Iterable[str]) -> Hooks:
    """Return the hooks for a message that carries these options, its own or its actor's."""
    names = frozenset(carried)
    active = [
        m
        for m in middleware
        if type(m) not in NATIVE and (type(m) not in ON_DEMAND or ON_DEMAND[type(m)] & names)
    ]

    def with_hook(hook: str) -> tuple[Middleware, ...]:
        return tuple(m for m in active if overrides(m, hook))

    return Hooks(
        broker,
        with_hook("before_process_message"),
        with_hook("after_process_message")[::-1],
        with_hook("after_skip_message")[::-1],
    )


def carried_names(options: Mapping[str, Any]) -> frozenset[str]:
    """Return the option names that decide which on-demand middleware runs."""
    return _DECIDING & options.keys() if options else frozenset()


_DECIDING: frozenset[str] = frozenset(name for names in ON_DEMAND.values() for name in names)
