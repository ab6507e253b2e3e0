"""Messages for actors known by name: of this process, or of a program that is not imported here."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from dramatiq.message import Message

from octoqueue.errors import ActorUnknown, InvalidMessage
from octoqueue.primitives.queue_names import require_queue_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.broker.lane_broker import LaneBroker


def message_to(
    broker: LaneBroker,
    actor_name: str,
    *,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Message[Any]:
    """Return a message for an actor of this process.

    Raises:
        ActorUnknown: it is not declared here.
        InvalidMessage: it does not take these arguments.
    """
    if actor_name not in broker.actors:
        raise ActorUnknown(actor_name, known=tuple(sorted(broker.actors)))
    actor = broker.actors[actor_name]
    if actor.options.get("batch") is None:  # whose argument is a list of the messages' arguments
        try:
            signature(getattr(actor, "function", actor.fn)).bind(*args, **kwargs)
        except TypeError as error:
            told = f"actor {actor_name!r} does not take them: {error}"
            raise InvalidMessage("arguments", told) from None
    build: Any = getattr(actor, "message_with_options")  # noqa: B009 - untyped
    message: Message[Any] = build(args=tuple(args), kwargs=dict(kwargs), **options)
    return message


def message_elsewhere(
    actor_name: str,
    queue: str,
    *,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Message[Any]:
    """Return a message for an actor that another program declares; its arguments are not checked.

    Raises:
        InvalidMessage: there can be no such queue.
    """
    require_queue_name(queue)
    return Message(
        queue_name=queue,
        actor_name=actor_name,
        args=tuple(args),
        kwargs=dict(kwargs),
        options=dict(options),
    )
