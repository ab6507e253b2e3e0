r"""The log of a process: one line an event, on standard error, as text or as JSON.

An event is a past-tense name with fields, given as `extra`:

    log = logging.getLogger(__name__)
    log.info("message_reclaimed", extra={"queue": "coder", "attempt": 2})

For people and for machines that reads

    12:00:01 INFO  worker      message_reclaimed queue=coder attempt=2
    {"at":"2026-01-31T12:00:01.042Z","level":"info","logger":"octoqueue.runtime.worker",…}

Passwords in URLs are masked wherever they appear, and nothing that is logged can forge a line: a
line break becomes `\n`, a traceback is indented. The weakness: whoever logs also writes, so a
terminal that does not read holds the process up. Nothing should log every message above `debug`.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import orjson

from octoqueue.telemetry.masking import mask_urls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_SOURCE_WIDTH: Final = 10
_NOT_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_JSON_KEYS: Final = frozenset({"at", "level", "logger", "event", "error"})
_SHORT_LEVELS: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_CONTROLS: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
}
_STYLES: Final = {
    "DEBUG": "dim",
    "INFO": "green",
    "WARN": "yellow",
    "ERROR": "red",
    "FATAL": "bold red",
}


def configure(
    level: Level = "info",
    format: Format = "text",  # noqa: A002 - the word of the configuration
    *,
    bound: Mapping[str, object] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send the log of the whole process to `stream`, replacing what an earlier call set up.

    Args:
        level: The least serious events that are written.
        format: `text`, coloured when `stream` is a terminal that wants colours, or `json`.
        bound: Fields of every line, such as the fleet this process belongs to.
        stream: Standard error when None.
    """
    target = stream or sys.stderr
    handler = LineHandler(target)
    handler.setFormatter(_formatter(format, bound or {}, target))
    root = logging.getLogger()
    for earlier in [found for found in root.handlers if isinstance(found, LineHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)


class LineHandler(logging.StreamHandler[TextIO]):
    """The one handler that `configure` installs, so that it finds it again."""


class TextFormatter(logging.Formatter):
    """Time, level, source, event and fields, aligned for the eye."""

    def __init__(self, bound: Mapping[str, object]) -> None:
        super().__init__()
        self._bound = bound

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the indented traceback if there is one."""
        parts = [self.paint(text, style) for text, style in self._parts(record)]
        parts += [f"\n    {line.translate(_CONTROLS)}" for line in _traceback_lines(record)]
        return mask_urls("".join(parts))

    def paint(self, text: str, style: str) -> str:
        """Return `text` as it looks in `style`: here, plain."""
        del style
        return text

    def _parts(self, record: logging.LogRecord) -> Iterator[tuple[str, str]]:
        moment = datetime.fromtimestamp(record.created, tz=UTC).astimezone()
        level = _SHORT_LEVELS.get(record.levelname, record.levelname)
        source = record.name.rpartition(".")[2]
        yield f"{moment:%H:%M:%S} ", "dim"
        yield f"{level:<5} ", _STYLES.get(level, "")
        yield f"{source:<{_SOURCE_WIDTH}}  ", "cyan"
        yield record.getMessage().translate(_CONTROLS), ""
        for name, value in _fields(record, self._bound):
            yield f" {name}=", "dim"
            yield _readable(value), ""


class ColourFormatter(TextFormatter):
    """The same line with colours."""

    def paint(self, text: str, style: str) -> str:
        """Return `text` with the control sequences of `style` around it."""
        from rich.style import Style  # noqa: PLC0415 - only a terminal pays for colours

        return Style.parse(style).render(text)


class JsonFormatter(logging.Formatter):
    """One JSON object: at, level, logger, event, then the fields, then the error if there is one.

    A field that is called like one of these gets an underscore behind its name.
    """

    def __init__(self, bound: Mapping[str, object]) -> None:
        super().__init__()
        self._bound = bound

    def format(self, record: logging.LogRecord) -> str:
        """Return the object on one line."""
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, Any] = {
            "at": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _fields(record, self._bound):
            line[f"{name}_" if name in _JSON_KEYS else name] = value
        if record.exc_info and record.exc_info[0]:
            line["error"] = {
                "type": record.exc_info[0].__qualname__,
                "message": str(record.exc_info[1]),
                "traceback": "\n".join(_traceback_lines(record)),
            }
        return mask_urls(_json(line))


def _formatter(format_: Format, bound: Mapping[str, object], stream: TextIO) -> logging.Formatter:
    if format_ == "json":
        return JsonFormatter(bound)
    return ColourFormatter(bound) if _wants_colours(stream) else TextFormatter(bound)


def _wants_colours(stream: TextIO) -> bool:
    if not stream.isatty():
        return False
    from rich.console import Console  # noqa: PLC0415 - it knows NO_COLOR, TERM=dumb and the rest

    console = Console(file=stream)
    return console.color_system is not None and not console.no_color


def _fields(record: logging.LogRecord, bound: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    yield from bound.items()
    for name, value in vars(record).items():
        if name not in _NOT_FIELDS:
            yield name, value


def _readable(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    if text and not any(mark in text for mark in ' ="'):
        return text.translate(_CONTROLS)
    return '"' + text.replace('"', '\\"').translate(_CONTROLS) + '"'


def _traceback_lines(record: logging.LogRecord) -> list[str]:
    error = record.exc_info[1] if record.exc_info else None
    raised = "".join(traceback.format_exception(error)) if error else ""
    return [*raised.splitlines(), *(record.stack_info or "").splitlines()]


def _json(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate or an integer beyond 64 bits: rare, and not worth losing the line.
        text = json.dumps(line, default=_plain, ensure_ascii=False)
        return text.encode(errors="replace").decode()


def _plain(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else str(value)
