"""Which middleware runs how: ours, dramatiq's that we replace, and everybody else's.

Retries, time limits, age limits and shutdown are part of our worker's loop, so dramatiq's
middleware for them, and whatever is derived from it, only lends it its options. Callbacks and
pipelines are called for messages that carry their options, and for no other. Every other middleware
gets the hooks of declaring, enqueueing, processing, settling and of the worker's life, and in each
thread that runs sync actors those of a worker thread. Those of consumer threads and delay queues
have nothing to tell here.
"""

from __future__ import annotations

import itertools
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
    MiddlewareError,
    Pipelines,
    Retries,
    ShutdownNotifications,
    SkipMessage,
    TimeLimit,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from dramatiq.broker import Broker, MessageProxy
    from dramatiq.message import Message

log = logging.getLogger(__name__)

NATIVE = (AgeLimit, AsyncIO, CurrentMessage, Retries, ShutdownNotifications, TimeLimit)
ON_DEMAND: Mapping[type[Middleware], frozenset[str]] = {
    Callbacks: frozenset({"on_success", "on_failure"}),
    Pipelines: frozenset({"pipe_target"}),
}


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks around one message, resolved once to those that really override something.

    They run in the order of dramatiq's own worker, in one thread for a sync actor. `settled` is
    called when it is known how the message ends, just before that is committed.
    """

    broker: Broker
    before: tuple[Middleware, ...]
    after: tuple[Middleware, ...]
    skipped: tuple[Middleware, ...]
    again: tuple[Middleware, ...]
    acked: tuple[Middleware, ...]
    nacked: tuple[Middleware, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to call."""
        return any((self.before, self.after, self.skipped, self.again, self.acked, self.nacked))

    def before_process(self, message: MessageProxy) -> bool:
        """Call the hooks before the actor; False when one of them says to skip the message.

        Raises:
            MiddlewareError: a hook fails the attempt, as if the actor had raised.
        """
        for middleware in self.before:
            try:
                with logged("before_process_message"):
                    middleware.before_process_message(self.broker, message)
            except SkipMessage:
                self._after_skip(message)
                return False
        return True

    def after_process(
        self, message: MessageProxy, *, result: object, exception: BaseException | None
    ) -> None:
        """Call the hooks after the actor, last first."""
        if exception is not None:
            message.stuff_exception(exception)
        for middleware in self.after:
            with logged("after_process_message", too_late=True):
                middleware.after_process_message(
                    self.broker, message, result=result, exception=exception
                )

    def _after_skip(self, message: MessageProxy) -> None:
        for middleware in self.skipped:
            with logged("after_skip_message", too_late=True):
                middleware.after_skip_message(self.broker, message)

    def retried(self, message: MessageProxy, *, attempt: int, delay_ms: int) -> None:
        """Call the hooks of enqueueing for a message that will be tried again."""
        message.options["retries"] = attempt
        for hook, order in (("before_enqueue", self.again), ("after_enqueue", self.again[::-1])):
            for middleware in order:
                with logged(hook, too_late=True):
                    getattr(middleware, hook)(self.broker, message, delay_ms)

    def settled(self, message: MessageProxy, *, dead: bool) -> None:
        """Call the hooks of the ending: nack for a dead letter, ack for all else."""
        if dead:
            message.fail()
        verb = "nack" if dead else "ack"
        listeners = self.nacked if dead else self.acked
        for hook, order in ((f"before_{verb}", listeners), (f"after_{verb}", listeners[::-1])):
            for middleware in order:
                with logged(hook, too_late=True):
                    getattr(middleware, hook)(self.broker, message)


class EnqueueHooks:
    """The hooks around enqueueing; most programs have none."""

    def __init__(self, broker: Broker) -> None:
        """Resolve them once; `broker` makes new ones when it gets more middleware."""
        self._broker = broker
        stack: list[Middleware] = getattr(broker, "middleware", [])
        self._before = listeners(stack, "before_enqueue")
        self._after = listeners(stack, "after_enqueue")

    def before(self, messages: Sequence[Message[Any]], delay: int | None) -> None:
        """Call the hooks before.

        Raises:
            MiddlewareError: a hook refuses a message.
        """
        if self._before:
            self._call(self._before, "before_enqueue", messages, delay)

    def after(self, messages: Sequence[Message[Any]], delay: int | None) -> None:
        """Call the hooks after, last first."""
        if self._after:
            self._call(self._after, "after_enqueue", messages, delay)

    def _call(
        self,
        listeners: list[Middleware],
        hook: str,
        messages: Sequence[Message[Any]],
        delay: int | None,
    ) -> None:
        for middleware, message in itertools.product(listeners, messages):
            with logged(hook, too_late=hook.startswith("after")):
                getattr(middleware, hook)(self._broker, message, delay)


@contextmanager
def logged(hook: str, *, too_late: bool = False) -> Generator[None]:
    """A broken hook is logged and never breaks the worker.

    A `MiddlewareError` is no breakage but a refusal, and passes unless it comes `too_late`.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MiddlewareError) and not too_late:
            raise
        log.exception("hook_failed", extra={"hook": hook})


def is_native(middleware: Middleware) -> bool:
    """Return whether our worker does by itself what a middleware is there for."""
    return isinstance(middleware, NATIVE) or getattr(middleware, "for_stock_worker", False)


def listeners(stack: Iterable[Middleware], hook: str) -> list[Middleware]:
    """Return the middleware to call at a hook, in the order to call it."""
    found = [m for m in stack if overrides(m, hook) and not is_native(m)]
    return found[::-1] if hook.startswith("after") else found


def overrides(middleware: Middleware, hook: str) -> bool:
    """Return whether a middleware does anything at a hook."""
    return getattr(type(middleware), hook) is not getattr(Middleware, hook)


def hooks_of(broker: Broker, middleware: Iterable[Middleware], carried: Iterable[str]) -> Hooks:
    """Return the hooks for a message that carries these options, its own or its actor's."""
    names = frozenset(carried)
    active = [
        m
        for m in middleware
        if not is_native(m) and (type(m) not in ON_DEMAND or ON_DEMAND[type(m)] & names)
    ]

    def with_hook(*hooks: str) -> tuple[Middleware, ...]:
        return tuple(m for m in active if any(overrides(m, hook) for hook in hooks))

    return Hooks(
        broker,
        before=with_hook("before_process_message"),
        after=with_hook("after_process_message")[::-1],
        skipped=with_hook("after_skip_message")[::-1],
        again=with_hook("before_enqueue", "after_enqueue"),
        acked=with_hook("before_ack", "after_ack"),
        nacked=with_hook("before_nack", "after_nack"),
    )


def carried_names(options: Mapping[str, Any]) -> frozenset[str]:
    """Return the option names that decide which on-demand middleware runs."""
    return _DECIDING & options.keys() if options else frozenset()


_DECIDING: frozenset[str] = frozenset(name for names in ON_DEMAND.values() for name in names)
