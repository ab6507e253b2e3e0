from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import EnvelopeError, EnvelopeTooLarge
from octoqueue.primitives.envelope import (
    HEADER_BYTES,
    Call,
    Flag,
    Header,
    decode_body,
    encode_body,
    pack_header,
    unpack_header,
)
from octoqueue.primitives.ids import (
    MessageId,
    affinity,
    id_from_text,
    new_message_id,
    text_from_id,
)
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.testing.memory_queue import restamped

ids = st.binary(min_size=16, max_size=16).map(MessageId)
words = st.integers(0, 0xFFFF)
headers = st.builds(
    Header,
    message_id=ids,
    lane=st.sampled_from(Lane),
    flags=st.integers(0, 255).map(lambda flags: flags & ~Flag.EXTENDED),
    deliveries=words,
    attempt=words,
    ready_at_ms=st.integers(0, 2**64 - 1),
)
text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | text
json: st.SearchStrategy[Any] = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(
    Call,
    queue=text,
    actor=text,
    args=st.lists(json, max_size=3),
    kwargs=st.dictionaries(text, json, max_size=3),
    options=st.dictionaries(text, json, max_size=3),
    created_at_ms=st.integers(0, 2**53),
    own_id=st.none() | text,
)


@given(headers, st.binary())
def test_a_header_comes_back_whatever_follows_it(header: Header, body: bytes) -> None:
    packed = pack_header(header)
    assert len(packed) == HEADER_BYTES
    assert unpack_header(packed + body) == header


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_an_envelope_error(payload: bytes) -> None:
    try:
        header = unpack_header(payload)
    except EnvelopeError:
        return
    assert pack_header(header) == payload[:HEADER_BYTES]


@given(headers, calls)
def test_a_call_comes_back(header: Header, call: Call) -> None:
    payload = pack_header(header) + encode_body(call, limit_bytes=1_000_000)
    assert decode_body(payload) == call


@given(headers, st.binary() | json.map(lambda value: repr(value).encode()))
def test_any_body_is_a_call_or_an_envelope_error(header: Header, body: bytes) -> None:
    try:
        call = decode_body(pack_header(header) + body)
    except EnvelopeError:
        return
    assert isinstance(call.args, list)


@given(calls)
def test_the_limit_is_the_longest_body_that_passes(call: Call) -> None:
    length = len(encode_body(call, limit_bytes=1_000_000))
    assert len(encode_body(call, limit_bytes=length)) == length
    with pytest.raises(EnvelopeTooLarge) as caught:
        encode_body(call, limit_bytes=length - 1)
    assert (caught.value.payload_bytes, caught.value.limit_bytes) == (length, length - 1)


@given(headers, st.binary(), words, words, st.integers(0, 2**64 - 1))
def test_restamping_changes_what_it_is_told_and_nothing_else(
    header: Header, body: bytes, deliveries: int, attempt: int, ready_at_ms: int
) -> None:
    changed = restamped(
        pack_header(header) + body,
        deliveries=deliveries,
        attempt=attempt,
        ready_at_ms=ready_at_ms,
    )
    assert changed[HEADER_BYTES:] == body
    assert unpack_header(changed) == header._replace(
        deliveries=deliveries, attempt=attempt, ready_at_ms=ready_at_ms
    )


@given(ids)
def test_an_id_comes_back_from_its_text(message_id: MessageId) -> None:
    written = text_from_id(message_id)
    assert len(written) == 36
    assert id_from_text(written) == message_id


@given(st.text(max_size=40) | st.uuids().map(str))
def test_a_text_names_an_id_in_one_spelling_only(written: str) -> None:
    found = id_from_text(written)
    assert found is None or text_from_id(found) == written


@given(ids)
def test_a_new_id_beside_another_shares_its_affinity(message_id: MessageId) -> None:
    assert affinity(new_message_id(beside=message_id)) == affinity(message_id)
    assert new_message_id(beside=message_id) != new_message_id(beside=message_id)


@given(st.sampled_from(Lane))
def test_a_lane_is_found_by_its_label(lane: Lane) -> None:
    assert lane_from(lane.label) is lane_from(lane) is lane
