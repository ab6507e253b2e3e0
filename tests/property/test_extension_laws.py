"""The extension: whatever goes in comes out, and equal gates make equal flows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import EnvelopeError, InvalidMessage
from octoqueue.primitives.extension import (
    MOST_WINDOW_MS,
    Extension,
    LimitUse,
    UniqueKey,
    UniqueMode,
    pack_extension,
    unique_digest,
    unpack_extension,
)

NAMES = st.text(max_size=40)
NO_NUL = st.characters(exclude_characters="\0", codec="utf-8")
LIMITS = st.builds(LimitUse, st.text(NO_NUL, max_size=40), NAMES, st.integers(0, 2**32 - 1))
DIGESTS = NAMES.map(unique_digest)
UNTIL = st.sampled_from((UniqueMode.STARTED, UniqueMode.DONE))
UNIQUE = st.builds(UniqueKey, UNTIL, DIGESTS, st.just(0)) | st.builds(
    UniqueKey, st.just(UniqueMode.WINDOW), DIGESTS, st.integers(1, MOST_WINDOW_MS)
)
EXTENSIONS = st.builds(
    Extension,
    st.none() | UNIQUE,
    NAMES,
    st.lists(NAMES, max_size=3, unique=True).map(tuple),
    st.lists(LIMITS, max_size=3, unique_by=lambda use: use[:2]).map(tuple),
)


@given(EXTENSIONS, st.binary(max_size=20))
def test_what_is_packed_is_unpacked_wherever_it_stands(extension: Extension, before: bytes) -> None:
    payload = before + pack_extension(extension) + b"the body"

    assert unpack_extension(payload, start=len(before)) == extension


@given(EXTENSIONS, st.data())
def test_an_extension_that_was_cut_off_is_refused(
    extension: Extension, data: st.DataObject
) -> None:
    packed = pack_extension(extension)
    cut = data.draw(st.integers(0, len(packed) - 1))

    with pytest.raises(EnvelopeError):
        unpack_extension(packed[:cut], start=0)


@given(EXTENSIONS, EXTENSIONS)
def test_flows_are_equal_exactly_when_the_gates_are(left: Extension, right: Extension) -> None:
    def gates(one: Extension) -> object:
        return one.tenant, one.caps, tuple((use.name, use.key) for use in one.limits)

    assert (left.flow == right.flow) == (gates(left) == gates(right))


def test_units_do_not_change_the_flow() -> None:
    cheap, dear = (Extension(limits=(LimitUse("tokens", "", units),)) for units in (1, 1_000))

    assert cheap.flow == dear.flow


def test_a_name_that_does_not_fit_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidMessage, match="tenant"):
        pack_extension(Extension(tenant="x" * 121))


def test_names_that_are_no_text_or_would_run_into_their_key_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="tenant"):
        pack_extension(Extension(tenant="\ud800"))
    with pytest.raises(InvalidMessage, match="limits"):
        pack_extension(Extension(limits=(LimitUse("open\0ai"),)))


def test_a_limit_named_twice_is_refused_as_each_would_pass_by_itself() -> None:
    with pytest.raises(InvalidMessage, match="limits"):
        pack_extension(Extension(limits=(LimitUse("tokens", "k", 5), LimitUse("tokens", "k", 4))))
    with pytest.raises(InvalidMessage, match="concurrency"):
        pack_extension(Extension(caps=("actor:a", "actor:a")))


def test_more_names_than_fit_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="bytes together"):
        pack_extension(Extension(caps=tuple(f"{number:0120}" for number in range(600))))


@given(st.sampled_from((-1, 0, MOST_WINDOW_MS + 1)))
def test_a_window_that_is_none_is_refused_by_its_field(window_ms: int) -> None:
    key = UniqueKey(UniqueMode.WINDOW, unique_digest("k"), window_ms)

    with pytest.raises(InvalidMessage) as refused:
        pack_extension(Extension(key))
    assert refused.value.field == "unique"
