"""What is written to a connection in one turn of the loop leaves in one go, and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from octoqueue.cli.joined_writes import MOST_BYTES, JoinedWrites

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Wire:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def write_eof(self) -> None:
        self.sent.append(b"<end>")

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> str:
        return f"the {name} within"


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def turns() -> list[Callable[[], None]]:
    return []


@pytest.fixture
def joined(wire: Wire, turns: list[Callable[[], None]]) -> JoinedWrites:
    return JoinedWrites(cast("asyncio.Transport", wire), turns.append)


def test_the_writes_of_one_turn_leave_as_one(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    joined.write(b"head ")
    joined.write(b"body")
    assert wire.sent == []
    turns.pop()()
    assert wire.sent == [b"head body"]
    joined.write(b"next")
    turns.pop()()
    assert wire.sent == [b"head body", b"next"]
    assert turns == []


def test_a_long_answer_leaves_before_all_of_it_is_there(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    joined.write(b"x" * MOST_BYTES)
    joined.write(b"y")
    assert wire.sent == [b"x" * MOST_BYTES + b"y"]
    joined.write(b"z")
    for turn in turns:
        turn()
    assert wire.sent[1:] == [b"z"]


def test_what_was_written_leaves_before_the_end(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    joined.write(b"last words")
    joined.close()
    assert (wire.sent, wire.is_closed) == ([b"last words"], True)
    turns.pop()()
    assert wire.sent == [b"last words"]


def test_nothing_overtakes_what_was_written(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    joined.write(b"one ")
    joined.writelines([b"two ", b"three"])
    joined.write_eof()
    assert wire.sent == [b"one two three", b"<end>"]
    turns.pop()()
    assert wire.sent[2:] == []


def test_a_buffer_that_is_filled_again_in_the_same_turn_changes_nothing_written_before(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    buffer = bytearray(b"one ")
    joined.write(buffer)
    buffer[:] = b"two "
    joined.write(memoryview(buffer))
    turns.pop()()
    assert wire.sent == [b"one two "]


def test_nothing_is_written_to_a_connection_that_is_gone(
    joined: JoinedWrites, wire: Wire, turns: list[Callable[[], None]]
) -> None:
    joined.write(b"too late")
    wire.is_closed = True
    turns.pop()()
    assert wire.sent == []


def test_all_else_is_asked_of_the_connection_within(joined: JoinedWrites) -> None:
    assert joined.get_extra_info("peername") == "the peername within"
