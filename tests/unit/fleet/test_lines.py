"""What processes say, cut into lines and written down."""

from __future__ import annotations

import io
import logging

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.fleet.lines import (
    LONGEST_LINE,
    LineSplitter,
    PlainLines,
    PrefixedLines,
    SinkStream,
    Stream,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Deaf(io.StringIO):
    """A reader that has gone away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


class Remembered:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, Stream]] = []

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        self.lines.append((name, text, stream))


def split(*pieces: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.finish()


def test_a_line_may_arrive_in_pieces_even_inside_a_character() -> None:
    euro = "10 €\n".encode()
    assert split(euro[:4], euro[4:], b"next") == ["10 €", "next"]


def test_what_is_not_utf_8_is_shown_as_such() -> None:
    assert split(b"a\xffb\n") == ["a\ufffdb"]


def test_a_line_that_never_ends_is_cut() -> None:
    assert [len(line) for line in split(b"x" * (2 * LONGEST_LINE + 1))] == [
        LONGEST_LINE,
        LONGEST_LINE,
        1,
    ]


@given(st.text(alphabet=st.sampled_from("ab€\n\r"), max_size=60), st.integers(1, 7))
def test_lines_do_not_depend_on_how_the_bytes_arrive(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert split(*pieces) == split(data)


@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30))
)
def test_nothing_of_a_line_is_lost(lines: list[str]) -> None:
    assert split("".join(f"{line}\n" for line in lines).encode()) == lines


def test_names_are_aligned_and_streams_kept_apart() -> None:
    out, err = io.StringIO(), io.StringIO()
    sink = PrefixedLines(["coder", "executor"], colours=True, out=out, err=err)
    sink.line("coder", "hello", stream="stdout")
    sink.line("executor", "oh", stream="stderr")
    assert out.getvalue() == "coder    | hello\n"
    assert err.getvalue() == "executor | oh\n"


def test_only_a_terminal_gets_colours() -> None:
    out, err = Terminal(), io.StringIO()
    sink = PrefixedLines(["coder"], colours=True, out=out, err=err)
    sink.line("coder", "hello", stream="stdout")
    sink.line("coder", "hello", stream="stderr")
    assert out.getvalue() == "\x1b[36mcoder |\x1b[0m hello\n"
    assert err.getvalue() == "coder | hello\n"


def test_a_reader_that_has_gone_away_stops_nothing() -> None:
    PrefixedLines(["coder"], out=Deaf()).line("coder", "hello", stream="stdout")
    PlainLines(out=Deaf()).line("coder", "hello", stream="stdout")


def test_plain_lines_stay_as_they_are() -> None:
    err = io.StringIO()
    PlainLines(err=err).line("coder", '{"event":"x"}', stream="stderr")
    assert err.getvalue() == '{"event":"x"}\n'


def test_our_own_log_is_one_voice_among_the_others() -> None:
    sink = Remembered()
    handler = logging.StreamHandler(SinkStream(sink, "up"))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "one\ntwo", (), None))
    assert sink.lines == [("up", "one", "stderr"), ("up", "two", "stderr")]
