"""`Executable`: all a worker must know to run an actor, resolved once."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import iscoroutinefunction, unwrap
from typing import TYPE_CHECKING, Any

from dramatiq.broker import Broker, MessageProxy

from octoqueue.broker.middleware import Hooks, carried_names, hooks_of
from octoqueue.broker.options import ActorOptions, Defaults, resolved
from octoqueue.broker.translate import lane_from_priority, message_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import dramatiq

    from octoqueue.primitives.envelope import Call, Header


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A registered function, ready to be called."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    options: ActorOptions
    hooks: Hooks
    """The hooks of a message that carries no options of its own."""
    own_options: frozenset[str]
    broker: Broker

    def hooks_for(self, options: Mapping[str, Any]) -> Hooks:
        """Return the hooks of a message with these options."""
        carried = carried_names(options)
        if carried <= self.own_options:
            return self.hooks
        return hooks_of(self.broker, self.broker.middleware, carried | self.own_options)


def executable_from(
    broker: Broker, actor: dramatiq.Actor[Any, Any], defaults: Defaults
) -> Executable:
    """Return how to run `actor`."""
    function: Callable[..., Any] = getattr(actor, "function", None) or actor.fn
    if not iscoroutinefunction(function) and iscoroutinefunction(unwrap(function)):
        function = unwrap(function)  # dramatiq wraps coroutine functions for its own threads
    own = carried_names(actor.options)
    return Executable(
        name=actor.actor_name,
        function=function,
        is_async=iscoroutinefunction(function),
        options=resolved(actor.options, lane=lane_from_priority(actor.priority), defaults=defaults),
        hooks=hooks_of(broker, broker.middleware, own),
        own_options=own,
        broker=broker,
    )


def proxy_from(header: Header, call: Call) -> MessageProxy:
    """Return what dramatiq's middleware expects of a message that runs."""
    return MessageProxy(message_from(header, call))
