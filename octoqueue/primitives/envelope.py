"""The envelope: one message as it travels, a binary header of 32 bytes and an orjson body.

    offset  size  field
    0       1     version, 1
    1       1     header_bytes, 32
    2       1     lane, 0 high, 1 normal, 2 low
    3       1     flags, see `Flag`
    4       2     deliveries: leases of this message that were lost with their worker
    6       2     attempt: executions that ended in a retry; 0 is the first
    8       8     ready_at_ms: when it became claimable, by the store's clock
    16      16    id

With `Flag.EXTENDED` an extension (`primitives/extension.py`) stands between header and body.

All integers are big-endian. Lua reads age, lane and deliveries from the header without decoding
JSON, and rewrites single fields in place; `redis/lua/includes/header.lua` holds the same offsets.

The body holds dramatiq's message fields. What the header or the list already says is left out:
`message_id` stands in the body only when it is not the header's id (a program chose its own). Where
a program has an encoder of its own, `args`, `kwargs` and `options` are empty, and `encoded` holds,
in base64, what `encoder` made of the message; only that encoder reads it, wherever it is set.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from enum import IntFlag
from operator import itemgetter
from typing import NamedTuple

import orjson

from octoqueue.errors import EnvelopeError, EnvelopeTooLarge, PayloadNotSerializable
from octoqueue.primitives.body_json import MARK, Json, json_from, value_from
from octoqueue.primitives.extension import NO_EXTENSION, Extension, extension_size, unpack_extension
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.lane import LANES, Lane

VERSION = 1
HEADER = struct.Struct(">BBBBHHQ16s")
HEADER_BYTES = HEADER.size
ID_SLICE = slice(16, 32)
MAX_ATTEMPT = 65_535
"""What the field holds."""

_FLAGS_AT = 3
_SMALL_BYTES = 4_096
_MARK = MARK[0]
_LEAST_FIELDS = 6
_in_order = itemgetter("queue_name", "actor_name", "args", "kwargs", "options", "message_timestamp")


class Flag(IntFlag):
    """What the store must know about a message without decoding it."""

    NONE = 0
    KEEP_RESULT = 1
    """Somebody may ask for the result: a poison stop must leave one too."""
    EXTENDED = 2
    """An extension follows the header."""
    EVENTS = 4
    """It tells events: its ending must tell one too."""


_EXTENDED = int(Flag.EXTENDED)
_BEGINS = bytes((VERSION, HEADER_BYTES))
_LOWEST = int(Lane.LOW)
_DELIVERIES_SLICE = slice(4, 6)
_ATTEMPT_SLICE = slice(6, 8)
_NONE_YET = bytes(2)


class Header(NamedTuple):
    """The decoded header. A named tuple, as one is made for every message."""

    message_id: MessageId
    lane: Lane
    flags: int = Flag.NONE
    """See `Flag`."""
    deliveries: int = 0
    attempt: int = 0
    ready_at_ms: int = 0


class Encoded(NamedTuple):
    """What a program's own encoder made of a message."""

    encoder: str
    """The name of its class, for whoever cannot decode it."""
    data: bytes


class Call(NamedTuple):
    """The decoded body: which actor to call, with what."""

    queue: str
    actor: str
    args: list[Json]
    kwargs: dict[str, Json]
    options: dict[str, Json]
    created_at_ms: int
    own_id: str | None = None
    """The id the sending program chose, when it is not the header's."""
    encoded: Encoded | None = None
    """Instead of arguments and options, when the program has an encoder of its own."""

    def message_id(self, header: Header) -> str:
        """Return the id the sending program knows this message by."""
        return self.own_id or text_from_id(header.message_id)


_ALL_FLAGS = max(Flag) * 2
_FRESH = tuple(
    tuple(
        HEADER.pack(VERSION, HEADER_BYTES, lane, flags, 0, 0, 0, b"")[: ID_SLICE.start]
        for flags in range(_ALL_FLAGS)
    )
    for lane in LANES
)
"""What stands before the id, by lane and flags."""


def pack_header(header: Header) -> bytes:
    """Return the 32 bytes of `header`."""
    return HEADER.pack(
        VERSION,
        HEADER_BYTES,
        header.lane,
        header.flags,
        header.deliveries,
        header.attempt,
        header.ready_at_ms,
        header.message_id,
    )


def unpack_header(payload: bytes) -> Header:
    """Return the header of an envelope.

    Raises:
        EnvelopeError: too short, of another version, or with an impossible lane.
    """
    if len(payload) < HEADER_BYTES:
        raise EnvelopeError(f"{len(payload)} bytes are too short for an envelope header")
    version, size, lane, flags, deliveries, attempt, ready, ident = HEADER.unpack_from(payload)
    if version != VERSION or size != HEADER_BYTES:
        raise EnvelopeError(f"envelope version {version} with a header of {size} bytes is unknown")
    if lane > Lane.LOW:
        raise EnvelopeError(f"lane {lane} does not exist")
    return Header(MessageId(ident), LANES[lane], flags, deliveries, attempt, ready)


def fresh_header(lane: Lane, flags: int, message_id: MessageId) -> bytes:
    """Return the header of a message that was never tried; the store stamps its time."""
    return _FRESH[lane][flags] + message_id


def encode_body(call: Call, *, limit_bytes: int) -> bytes:
    """Return the JSON body of `call`.

    Raises:
        PayloadNotSerializable: an argument has no JSON form.
        EnvelopeTooLarge: the body is longer than `limit_bytes`.
    """
    queue, actor, args, kwargs, options, created_at_ms, own_id, encoded = call
    return encode_fields(
        queue, actor, args, kwargs, options, created_at_ms, own_id, encoded, limit_bytes=limit_bytes
    )


def encode_fields(  # noqa: PLR0917 - the fields of `Call`, in its order
    queue: str,
    actor: str,
    args: Json,
    kwargs: dict[str, Json],
    options: dict[str, Json],
    created_at_ms: int,
    own_id: str | None = None,
    encoded: Encoded | None = None,
    *,
    limit_bytes: int,
) -> bytes:
    """Return the JSON body of a call with these fields; `args` is a list or tuple.

    Raises:
        PayloadNotSerializable: an argument has no JSON form.
        EnvelopeTooLarge: the body is longer than `limit_bytes`.
    """
    fields: dict[str, Json] = {
        "queue_name": queue,
        "actor_name": actor,
        "args": args,
        "kwargs": kwargs,
        "options": options,
        "message_timestamp": created_at_ms,
    }
    if own_id is not None:
        fields["message_id"] = own_id
    if encoded is not None:
        fields["encoder"] = encoded.encoder
        fields["encoded"] = b64encode(encoded.data).decode()
    try:
        body = json_from(fields)
    except TypeError as error:
        raise PayloadNotSerializable(actor, reason=str(error)) from None
    if len(body) > limit_bytes:
        raise EnvelopeTooLarge(actor, payload_bytes=len(body), limit_bytes=limit_bytes)
    return body


def decode_body(payload: bytes) -> Call:
    """Return the call in an envelope whose header is known to be good.

    Raises:
        EnvelopeError: the body is no JSON object with dramatiq's fields.
    """
    try:
        if payload[_FLAGS_AT] & _EXTENDED or len(payload) > _SMALL_BYTES:
            text: bytes | memoryview = memoryview(payload)[_body_start(payload) :]
        else:
            text = payload[HEADER_BYTES:]  # a copy that costs less than a view of it
        fields = orjson.loads(text) if text[0] != _MARK else value_from(text)
        queue, actor, args, kwargs, options, created_at_ms = _in_order(fields)
        if len(fields) > _LEAST_FIELDS:
            own_id, encoded = fields.get("message_id"), _encoded(fields)
        else:
            own_id = encoded = None
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"the body cannot be decoded: {error!r}") from None
    if not (
        type(actor) is str
        and type(args) is list
        and type(kwargs) is dict
        and type(options) is dict
        and type(created_at_ms) is int
        and (own_id is None or type(own_id) is str)
    ):
        raise EnvelopeError("a field of the body has the wrong type")
    return Call(queue, actor, args, kwargs, options, created_at_ms, own_id, encoded)


def _encoded(fields: dict[str, Json]) -> Encoded | None:
    if "encoded" not in fields:
        return None
    return Encoded(str(fields["encoder"]), b64decode(fields["encoded"], validate=True))


def is_extended(payload: bytes) -> bool:
    """Return whether an envelope says that it carries an extension."""
    return bool(payload[_FLAGS_AT] & _EXTENDED)


def has_good_header(payload: bytes) -> bool:
    """Return whether `unpack_header` would take the header, without making one."""
    return payload.startswith(_BEGINS) and len(payload) >= HEADER_BYTES and payload[2] <= _LOWEST


def was_lost(payload: bytes) -> bool:
    """Return whether an envelope says that a lease of it was lost with its worker."""
    return payload[_DELIVERIES_SLICE] != _NONE_YET


def flags_in(payload: bytes) -> int:
    """Return the flags of an envelope whose header is known to be good."""
    return payload[_FLAGS_AT]


def was_tried(payload: bytes) -> bool:
    """Return whether an envelope says that an attempt before this one has ended in a retry."""
    return payload[_ATTEMPT_SLICE] != _NONE_YET


def is_plain(payload: bytes) -> bool:
    """Return whether an envelope has no extension, and this is the first attempt of its message."""
    return not payload[_FLAGS_AT] & _EXTENDED and payload[_ATTEMPT_SLICE] == _NONE_YET


def extension_of(payload: bytes) -> Extension:
    """Return the extension of an envelope whose header is known to be good.

    Raises:
        EnvelopeError: it is not whole.
    """
    if not payload[_FLAGS_AT] & Flag.EXTENDED:
        return NO_EXTENSION
    return unpack_extension(payload, start=HEADER_BYTES)


def extension_block(payload: bytes) -> bytes:
    """Return the bytes of the extension, none when there is none.

    Raises:
        EnvelopeError: it is not whole.
    """
    return payload[HEADER_BYTES : _body_start(payload)]


def _body_start(payload: bytes) -> int:
    if not payload[_FLAGS_AT] & _EXTENDED:
        return HEADER_BYTES
    return HEADER_BYTES + extension_size(payload, start=HEADER_BYTES)
