"""A program's own dramatiq encoder around the arguments and options of its messages.

`dramatiq.set_encoder` holds here as it does on dramatiq's brokers. Which encoder reads a message is
what the reading process has set, never what the message says: a process that has not chosen
`PickleEncoder` unpickles nothing, whoever wrote into Redis. Queue and actor stay readable, so that
every tool can still tell what a message is, and whose step of a workflow it is, so that one that
nobody can decode ends that step.
"""

from __future__ import annotations

from typing import Any, cast

from dramatiq.encoder import Encoder, JSONEncoder
from dramatiq.message import get_encoder

from octoqueue.errors import EnvelopeError, PayloadNotSerializable
from octoqueue.primitives.envelope import Call, Encoded
from octoqueue.workflows.letters import OPTION


def own_encoder() -> Encoder | None:
    """Return the encoder the program has set, None when it is dramatiq's default."""
    encoder = get_encoder()
    return None if type(encoder) is JSONEncoder else encoder


def sealed(call: Call, message_id: str) -> Call:
    """Return the call as the program's encoder wants it stored.

    Raises:
        PayloadNotSerializable: the encoder failed.
    """
    encoder = own_encoder()
    if encoder is None:
        return call
    fields: dict[str, Any] = {
        "queue_name": call.queue,
        "actor_name": call.actor,
        "args": tuple(call.args),
        "kwargs": call.kwargs,
        "options": call.options,
        "message_id": message_id,
        "message_timestamp": call.created_at_ms,
    }
    name = type(encoder).__name__
    try:
        data = bytes(encoder.encode(fields))
    except Exception as error:
        raise PayloadNotSerializable(call.actor, reason=f"{name} failed: {error!r}") from error
    shown = {OPTION: call.options[OPTION]} if OPTION in call.options else {}
    return call._replace(args=[], kwargs={}, options=shown, encoded=Encoded(name, data))


def opened(call: Call) -> Call:
    """Return the call with its arguments and options, whoever encoded them.

    Raises:
        EnvelopeError: the encoder of this process cannot decode it.
    """
    if call.encoded is None:
        return call
    encoder = get_encoder()
    try:
        fields = encoder.decode(call.encoded.data)
        args, kwargs, options = list(fields["args"]), fields["kwargs"], fields["options"]
    except Exception as error:
        raise EnvelopeError(
            f"its sender encoded it with {call.encoded.encoder}, "
            f"{type(encoder).__name__} of this process cannot decode it: {error!r}"
        ) from error
    if not (isinstance(cast("object", kwargs), dict) and isinstance(cast("object", options), dict)):
        raise EnvelopeError(f"{type(encoder).__name__} decoded a message without its fields")
    return call._replace(args=args, kwargs=kwargs, options=options, encoded=None)
