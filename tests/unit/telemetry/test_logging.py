from __future__ import annotations

import io
import logging
import re
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from octoqueue.telemetry.logging import LineHandler, configure

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("octoqueue.runtime.worker")
NOON = datetime(2026, 1, 31, 12, 0, 1, 42_000, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Give back what `configure` changes for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream() -> io.StringIO:
    """Where the log goes."""
    return io.StringIO()


def at_noon(event: str, **fields: object) -> None:
    """Log `event` as if it were noon in local time."""
    record = LOG.makeRecord(LOG.name, logging.INFO, "", 0, event, (), None, extra=fields)
    record.created = NOON.timestamp()
    LOG.handle(record)


def raised(error: Exception) -> Exception:
    """Return `error` with the traceback of having been raised."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_text_line_has_time_level_source_event_and_fields(stream: io.StringIO) -> None:
    configure("info", "text", stream=stream)
    at_noon("message_reclaimed", queue="coder", attempt=2)
    local = NOON.astimezone()
    assert stream.getvalue() == (
        f"{local:%H:%M:%S} INFO  worker      message_reclaimed queue=coder attempt=2\n"
    )


def test_a_json_line_is_one_object_with_the_fields_beside_the_event(stream: io.StringIO) -> None:
    configure("info", "json", stream=stream)
    at_noon("message_reclaimed", queue="coder", attempt=2)
    assert stream.getvalue().endswith("}\n")
    assert orjson.loads(stream.getvalue()) == {
        "at": "2026-01-31T12:00:01.042Z",
        "level": "info",
        "logger": "octoqueue.runtime.worker",
        "event": "message_reclaimed",
        "queue": "coder",
        "attempt": 2,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_line_has_the_bound_fields(stream: io.StringIO, form: str) -> None:
    configure("info", form, bound={"fleet": "coder"}, stream=stream)  # type: ignore[arg-type]
    LOG.info("worker_started")
    assert re.search(r"fleet.{1,3}coder", stream.getvalue())


def test_events_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure("warning", "text", stream=stream)
    LOG.info("message_claimed")
    LOG.warning("lease_lost")
    assert [line.split()[3] for line in stream.getvalue().splitlines()] == ["lease_lost"]


def test_configuring_again_replaces_what_was_configured(stream: io.StringIO) -> None:
    first = io.StringIO()
    configure("info", "text", stream=first)
    configure("info", "text", stream=stream)
    LOG.info("worker_started")
    assert first.getvalue() == ""
    assert len([h for h in logging.getLogger().handlers if isinstance(h, LineHandler)]) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        (timedelta(milliseconds=1500), "1.5s"),
        (NOON, "2026-01-31T12:00:01.042000+00:00"),
        (None, "None"),
        (1.5, "1.5"),
    ],
    ids=repr,
)
def test_a_field_reads_as_one_word(stream: io.StringIO, value: object, shown: str) -> None:
    configure("info", "text", stream=stream)
    LOG.info("event", extra={"field": value})
    assert stream.getvalue().endswith(f" event field={shown}\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_is_logged_forges_a_line(stream: io.StringIO, form: str) -> None:
    configure("info", form, stream=stream)  # type: ignore[arg-type]
    LOG.info("a\n12:00:00 INFO  b", extra={"field": "c\r\nd\u2028e\x85f"})
    assert stream.getvalue().count("\n") == 1
    assert "\r" not in stream.getvalue()


def test_a_text_line_is_one_line_for_every_reader(stream: io.StringIO) -> None:
    configure("info", "text", stream=stream)
    LOG.info("a\x0bb", extra={"field": "c\u2028d\x85e"})
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_passwords_in_urls_are_masked_everywhere(stream: io.StringIO, form: str) -> None:
    configure("info", form, bound={"store": "redis://a:one@h"}, stream=stream)  # type: ignore[arg-type]
    error = raised(ConnectionError("no answer from redis://b:two@h"))
    LOG.error("lost redis://c:three@h", exc_info=error, extra={"url": "redis://d:four@h"})
    assert not re.search("one|two|three|four", stream.getvalue())
    assert stream.getvalue().count("****") >= 4


def test_a_traceback_is_indented_below_its_line(stream: io.StringIO) -> None:
    configure("info", "text", stream=stream)
    error = raised(ValueError("first\nsecond"))
    LOG.error("actor_failed", exc_info=error, extra={"actor": "plan"})
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith(" ERROR worker      actor_failed actor=plan")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    ValueError: first", "    second"]
    assert all(line.startswith("    ") for line in rest)


def test_an_error_is_an_object_of_its_own_in_json(stream: io.StringIO) -> None:
    configure("info", "json", stream=stream)
    LOG.error("actor_failed", exc_info=raised(ValueError("wrong")))
    error = orjson.loads(stream.getvalue())["error"]
    assert (error["type"], error["message"]) == ("ValueError", "wrong")
    assert error["traceback"].startswith("Traceback (most recent call last):\n")


def test_a_field_with_a_name_of_ours_stands_beside_it(stream: io.StringIO) -> None:
    configure("info", "json", stream=stream)
    LOG.info("message_promoted", extra={"level": 3, "event": "x"})
    line = orjson.loads(stream.getvalue())
    assert (line["level"], line["level_"], line["event_"]) == ("info", 3, "x")


@pytest.mark.parametrize(
    "value",
    ["\ud800", 2**70, {1: {2}}, float("nan"), b"\xff", object, timedelta(seconds=2)],
    ids=str,
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_that_has_no_json_form_loses_no_line(
    stream: io.StringIO, form: str, value: object
) -> None:
    configure("info", form, stream=stream)  # type: ignore[arg-type]
    LOG.info("message_claimed", extra={"field": value})
    assert stream.getvalue().count("message_claimed") == 1
    if form == "json":
        assert "field" in orjson.loads(stream.getvalue())


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    configure("info", "text", stream=terminal)
    LOG.warning("lease_lost", extra={"queue": "coder"})
    assert "\x1b[33mWARN  \x1b[0m" in terminal.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    assert plain.endswith(" WARN  worker      lease_lost queue=coder\n")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_colours_gets_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    terminal = Terminal()
    configure("info", "text", stream=terminal)
    LOG.warning("lease_lost")
    assert "\x1b" not in terminal.getvalue()


def test_warnings_of_python_go_to_the_log(stream: io.StringIO) -> None:
    configure("info", "text", stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # catch_warnings puts its own printer in place, so that ours has to be asked for again.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old spelling", DeprecationWarning, stacklevel=1)
    assert "WARN  warnings" in stream.getvalue()
    assert "DeprecationWarning: old spelling" in stream.getvalue()
