from __future__ import annotations

from typing import Any

import pytest

from octoqueue.errors import EnvelopeError, EnvelopeTooLarge, PayloadNotSerializable
from octoqueue.primitives.envelope import (
    HEADER_BYTES,
    ID_SLICE,
    Call,
    Flag,
    Header,
    decode_body,
    encode_body,
    fresh_header,
    pack_header,
    unpack_header,
)
from octoqueue.primitives.ids import MessageId, new_message_id, text_from_id
from octoqueue.primitives.lane import LANES, Lane

IDENT = MessageId(bytes(range(16)))
CALL = Call("coder", "write", ["a", 1], {"k": None}, {"lane": "high"}, 1_700_000_000_000)


def payload_of(body: bytes) -> bytes:
    return pack_header(Header(IDENT, Lane.LOW)) + body


def test_the_header_stands_where_the_layout_says() -> None:
    """Lua and other programs read these offsets; they are the format of version 1."""
    header = Header(
        IDENT, Lane.LOW, Flag.KEEP_RESULT, deliveries=258, attempt=772, ready_at_ms=0x0102030405
    )
    assert pack_header(header) == (
        b"\x01\x20\x02\x01" + b"\x01\x02" + b"\x03\x04" + b"\0\0\0\1\2\3\4\5" + bytes(range(16))
    )
    assert HEADER_BYTES == 32
    assert pack_header(header)[ID_SLICE] == IDENT


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("flags", range(8))
def test_a_fresh_header_is_that_of_a_message_nobody_has_tried(lane: Lane, flags: int) -> None:
    assert fresh_header(lane, flags, IDENT) == pack_header(Header(IDENT, lane, flags))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "0 bytes"),
        (payload_of(b"")[:31], "31 bytes"),
        (b"\x02" + payload_of(b"")[1:], "version 2"),
        (payload_of(b"")[:1] + b"\x40" + payload_of(b"")[2:], "64 bytes"),
        (payload_of(b"")[:2] + b"\x03" + payload_of(b"")[3:], "lane 3"),
    ],
)
def test_a_header_that_cannot_be_ours_is_refused_with_the_reason(
    payload: bytes, reason: str
) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        unpack_header(payload)


def test_unknown_flags_of_a_newer_program_are_kept() -> None:
    header = Header(IDENT, Lane.HIGH, flags=0x81)
    assert unpack_header(pack_header(header)).flags == 0x81


def test_the_body_names_the_message_only_when_its_id_is_not_the_headers() -> None:
    header = Header(IDENT, Lane.HIGH)
    assert b"message_id" not in encode_body(CALL, limit_bytes=1_000)
    assert CALL.message_id(header) == text_from_id(IDENT)
    named = CALL._replace(own_id="order-7")
    assert decode_body(payload_of(encode_body(named, limit_bytes=1_000))) == named
    assert named.message_id(header) == "order-7"


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {(1, 2): "no key"}, {"s": {1, 2}}, [float("nan"), object()]]
)
def test_an_argument_without_a_json_form_is_refused_naming_the_actor(value: object) -> None:
    with pytest.raises(PayloadNotSerializable, match="write"):
        encode_body(CALL._replace(args=[value]), limit_bytes=1_000)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(PayloadNotSerializable):
        encode_body(CALL._replace(args=endless), limit_bytes=1_000)


def test_a_body_over_the_limit_is_refused_with_both_numbers() -> None:
    with pytest.raises(EnvelopeTooLarge) as caught:
        encode_body(CALL._replace(args=["x" * 1_000]), limit_bytes=1_000)
    assert caught.value.payload_bytes > caught.value.limit_bytes == 1_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"queue_name":"q"}',
        b"not json",
        b"\xff\xfe",
        b'{"a":' * 2_000,
        encode_body(CALL._replace(args={}), limit_bytes=1_000),  # type: ignore[arg-type]
        encode_body(CALL._replace(kwargs=[]), limit_bytes=1_000),  # type: ignore[arg-type]
        encode_body(CALL._replace(options=None), limit_bytes=1_000),  # type: ignore[arg-type]
        encode_body(CALL._replace(actor=7), limit_bytes=1_000),  # type: ignore[arg-type]
        encode_body(CALL._replace(created_at_ms="now"), limit_bytes=1_000),  # type: ignore[arg-type]
        encode_body(CALL._replace(own_id=7), limit_bytes=1_000),  # type: ignore[arg-type]
        b" " + encode_body(CALL, limit_bytes=1_000)[:-1],
        encode_body(CALL, limit_bytes=1_000)[:-1] + b',"encoded":"AA=="}',
        encode_body(CALL, limit_bytes=1_000)[:-1] + b',"encoder":"X","encoded":"?"}',
        encode_body(CALL, limit_bytes=1_000)[:-1] + b',"encoder":"X","encoded":7}',
    ],
)
def test_a_body_that_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_body(payload_of(body))


def test_a_new_id_is_a_uuid7_and_ordered_by_time() -> None:
    first, second = new_message_id(), new_message_id()
    assert first < second
    assert first[6] >> 4 == 7
    assert text_from_id(first)[14] == "7"
