"""`Executable`: all a worker must know to run an actor, resolved once."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeAlias

from dramatiq.asyncio import async_to_sync
from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import CurrentMessage

from octoqueue.broker.admission import Admission, admission_from
from octoqueue.broker.middleware import Hooks, carried_names, hooks_of
from octoqueue.broker.options import MESSAGE_OPTIONS, ActorOptions, Defaults, resolved
from octoqueue.broker.translate import lane_from_priority, message_from
from octoqueue.primitives.envelope import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import dramatiq

    from octoqueue.primitives.envelope import Call, Header


ShownMessage: TypeAlias = MessageProxy
"""What dramatiq's middleware gets to see of a running message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A registered function, ready to be called."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    options: ActorOptions
    admission: Admission | None
    """Its cap, limits and unique key; None when it has none of them."""
    flags: int
    """What the envelopes of its messages say, unless a message says otherwise."""
    is_plain: bool
    """Whether there is nothing to look at when a message without options is sent."""
    hooks: Hooks
    """The hooks of a message that carries no options of its own."""
    is_simple: bool
    """Whether there is nothing to look at when a message without options is run."""
    own_options: frozenset[str]
    shows_message: bool
    """Whether it is a plain dramatiq actor, which may ask dramatiq for the current message."""
    declared: Mapping[str, Any]
    defaults: Defaults
    broker: Broker

    def options_for(self, options: Mapping[str, Any]) -> ActorOptions:
        """Return the options of a message that carries some of its own.

        Raises:
            DeclarationError: they are impossible.
        """
        own = {name: options[name] for name in MESSAGE_OPTIONS & options.keys()}
        if not own:
            return self.options
        return resolved({**self.declared, **own}, lane=self.options.lane, defaults=self.defaults)

    def hooks_for(self, options: Mapping[str, Any]) -> Hooks:
        """Return the hooks of a message with these options."""
        carried = carried_names(options)
        if carried <= self.own_options:
            return self.hooks
        return hooks_of(self.broker, self.broker.middleware, carried | self.own_options)

    def show(self, message: ShownMessage) -> None:
        """Make a message the one that dramatiq's `CurrentMessage` knows in this context."""
        show: Any = CurrentMessage().before_process_message
        show(self.broker, message)


def executable_from(
    broker: Broker, actor: dramatiq.Actor[Any, Any], defaults: Defaults
) -> Executable:
    """Return how to run `actor`."""
    own_function: Callable[..., Any] | None = getattr(actor, "function", None)
    function = _unbridged(actor.fn) if own_function is None else own_function
    own = carried_names(actor.options)
    lane = lane_from_priority(actor.priority)
    options = resolved(actor.options, lane=lane, defaults=defaults)
    admission = admission_from(actor.actor_name, function, actor.options)
    hooks = hooks_of(broker, broker.middleware, own)
    shows_message = own_function is None and any(
        isinstance(middleware, CurrentMessage) for middleware in broker.middleware
    )
    return Executable(
        name=actor.actor_name,
        function=function,
        is_async=iscoroutinefunction(function),
        options=options,
        admission=admission,
        flags=flags_of(results=options.results, events=options.events),
        is_plain=admission is None and options.batch is None and options.expires_ms is None,
        hooks=hooks,
        is_simple=not (hooks or shows_message or options.batch or options.max_age)
        and options.expires_ms is None,
        own_options=own,
        shows_message=shows_message,
        declared=actor.options,
        defaults=defaults,
        broker=broker,
    )


def flags_of(*, results: bool, events: bool) -> int:
    """Return what an envelope says of a message that keeps its result, or tells events."""
    return int(Flag.KEEP_RESULT) * results | int(Flag.EVENTS) * events


def _unbridged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the coroutine function that dramatiq has wrapped for its own threads.

    Only its own wrapper is taken off: what a program has put around its function stays.
    """
    if getattr(function, "__code__", None) is _BRIDGE:
        inner: Callable[..., Any] = getattr(function, "__wrapped__", function)
        return inner
    return function


async def _nothing() -> None:
    """Give dramatiq something to wrap."""


_BRIDGE = async_to_sync(_nothing).__code__


def proxy_from(header: Header, call: Call) -> ShownMessage:
    """Return what dramatiq's middleware expects of a message that runs."""
    return MessageProxy(message_from(header, call))
