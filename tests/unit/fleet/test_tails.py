"""What processes write into files, read as it comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from octoqueue.fleet.tails import Tail

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.fleet.lines import Stream


class Said:
    """Remembers lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        self.lines.append(text)


def opened(place: Path, said: Said) -> Tail:
    return Tail(place, "coder.1", stream="stderr", sink=said)


def test_lines_are_passed_on_when_they_are_whole(tmp_path: Path) -> None:
    said = Said()
    tail = opened(tmp_path, said)
    os.write(tail.child, b"one\ntw")
    tail.read()
    assert said.lines == ["one"]
    os.write(tail.child, b"o\nno end")
    tail.finish()
    assert said.lines == ["one", "two", "no end"]
    assert tail.last_line == "no end"
    tail.close()


def test_who_follows_goes_on_where_the_one_before_has_read_to(tmp_path: Path) -> None:
    said, later = Said(), Said()
    first = opened(tmp_path, said)
    os.write(first.child, b"one\n")
    first.read()
    os.write(first.child, b"two\n")
    first.close()  # it was killed
    second = opened(tmp_path, later)
    second.read()
    assert (said.lines, later.lines) == (["one"], ["two"])
    second.close()


def test_a_new_process_begins_with_an_empty_file(tmp_path: Path) -> None:
    said = Said()
    tail = opened(tmp_path, said)
    os.write(tail.child, b"last words")
    tail.begin()
    assert said.lines == ["last words"]
    assert tail.last_line == ""
    assert (tmp_path / "coder.1.stderr").stat().st_size == 0
    os.write(tail.child, b"first words\n")
    tail.read()
    assert said.lines[-1] == "first words"
    tail.close()


def test_a_file_that_has_become_large_is_emptied_once_it_is_read(tmp_path: Path) -> None:
    said = Said()
    tail = opened(tmp_path, said)
    line = b"x" * 1023 + b"\n"
    for _ in range(9 * 1024):
        os.write(tail.child, line)
    for _ in range(9):
        tail.read()
    assert len(said.lines) == 9 * 1024
    assert (tmp_path / "coder.1.stderr").stat().st_size == 0
    os.write(tail.child, b"more\n")
    tail.read()
    assert said.lines[-1] == "more"
    tail.close()


def test_a_mark_that_makes_no_sense_is_taken_for_none(tmp_path: Path) -> None:
    said = Said()
    (tmp_path / "coder.1.stderr").write_text("one\n")
    (tmp_path / "coder.1.stderr.read").write_text("nonsense")
    tail = opened(tmp_path, said)
    tail.read()
    assert said.lines == ["one"]
    tail.close()


def test_a_process_that_writes_faster_than_is_read_does_not_hold_the_reader(tmp_path: Path) -> None:
    class Endless(Said):
        def line(self, name: str, text: str, *, stream: Stream) -> None:
            super().line(name, text, stream=stream)
            assert len(self.lines) < 10_000, "it reads for ever"
            os.write(
                tail.child, b"x" * 1023 + b"\n"
            )  # for each line that is read there is one more

    tail = opened(tmp_path, said := Endless())
    os.write(tail.child, b"begin\n" * 100)
    for _ in range(3):
        tail.read()
    tail.finish()
    assert len(said.lines) >= 100
    tail.close()


def test_of_a_file_that_grows_faster_than_is_read_some_is_skipped_and_that_is_said(
    tmp_path: Path,
) -> None:
    tail = opened(tmp_path, said := Said())
    os.write(tail.child, b"one\n")
    tail.read()
    os.ftruncate(tail.child, 65 << 20)  # as if as much had been written
    tail.read()
    assert (tmp_path / "coder.1.stderr").stat().st_size == 0
    assert said.lines == ["one", "(68157436 bytes that it wrote were skipped: too much at once)"]
    assert tail.last_line == "one"
    os.write(tail.child, b"two\n")
    tail.read()
    assert said.lines[-1] == "two"
    tail.close()
