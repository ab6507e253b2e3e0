"""Durations and sizes as people write them: `10s`, `1h30m`, `32KiB`, `1MiB`.

`format_…` is the exact inverse of `parse_…`. A bare number is seconds or bytes. What YAML itself
turns into a number before we see it stays a number: an unquoted `1:30` is 90 seconds there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
)

_MICROSECONDS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_DURATION: Final = re.compile(rf"(?:{_NUMBER}\s*(?:us|ms|s|m|h|d)\s*)+")
_DURATION_PART: Final = re.compile(rf"({_NUMBER})\s*(us|ms|s|m|h|d)")
_ISO_8601: Final = TypeAdapter(timedelta)
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.IGNORECASE)
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_SIZE_UNITS: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_LONGEST: Final = timedelta(days=36_500)
_DURATION_FORM: Final = "is no duration; write 10s, 500ms, 5m, 1h30m, PT10S or a number of seconds"
_SIZE_FORM: Final = "is no size; write 32KiB, 1MiB or a number of bytes"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key's values are called in the reference table, e.g. `duration`."""

    name: str


def parse_duration(value: object) -> timedelta:
    """Return the duration that `value` writes.

    Raises:
        ValueError: `value` writes none, a negative one, or one of more than a hundred years.
    """
    try:
        duration = value if isinstance(value, timedelta) else _duration_from(value)
    except (ArithmeticError, ValueError):
        raise ValueError(_DURATION_FORM) from None
    if duration < timedelta(0):
        raise ValueError("must not be negative")
    if duration > _LONGEST:
        raise ValueError("must not be longer than a hundred years")
    return duration


def _duration_from(value: object) -> timedelta:
    text = _text_from(value)
    if text.startswith("P"):
        return _ISO_8601.validate_python(text)
    if _DURATION.fullmatch(text):
        parts: list[tuple[str, str]] = _DURATION_PART.findall(text)
        micros = sum((Decimal(number) * _MICROSECONDS[unit] for number, unit in parts), Decimal(0))
    else:
        micros = Decimal(text) * _MICROSECONDS["s"]
    # As a float: an exponent of nine digits must not become an integer of a billion digits.
    return timedelta(microseconds=float(micros))


def _text_from(value: object) -> str:
    """Return the number or text that was written; nothing of ours fits an empty text."""
    is_written = isinstance(value, int | float | str) and not isinstance(value, bool)
    return str(value).strip() if is_written else ""


def format_duration(duration: timedelta) -> str:
    """Return `duration` in the largest unit that writes it as a whole number, e.g. `90s`."""
    micros = duration // timedelta(microseconds=1)
    if micros == 0:
        return "0s"
    unit = next(unit for unit in reversed(_MICROSECONDS) if micros % _MICROSECONDS[unit] == 0)
    return f"{micros // _MICROSECONDS[unit]}{unit}"


def parse_size(value: object) -> int:
    """Return the number of bytes that `value` writes.

    Raises:
        ValueError: `value` writes none, or not a whole number of bytes.
    """
    match = _SIZE.fullmatch(_text_from(value))
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(_SIZE_FORM)
    size = Fraction(match[1]) * unit
    if size.denominator != 1:
        raise ValueError("is not a whole number of bytes")
    return size.numerator


def format_size(size_bytes: int) -> str:
    """Return `size_bytes` in the largest binary unit that writes it as a whole number."""
    for name, unit in _SIZE_UNITS:
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)


def _not_a_truth_value(value: object) -> object:
    # YAML reads an unquoted `yes` or `on` as true, and Python takes true for 1.
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects ValueError
    return value


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError
    return value


def _shortest(number: float) -> float:
    """Return a whole number without its `.0`."""
    return int(number) if number.is_integer() else number


def at_least(shortest: timedelta) -> AfterValidator:
    """Return a validator that refuses durations below `shortest`."""

    def validate(duration: timedelta) -> timedelta:
        if duration < shortest:
            raise ValueError(f"must be at least {format_duration(shortest)}")
        return duration

    return AfterValidator(validate)


def at_most(longest: timedelta) -> AfterValidator:
    """Return a validator that refuses durations above `longest`."""

    def validate(duration: timedelta) -> timedelta:
        if duration > longest:
            raise ValueError(f"must be at most {format_duration(longest)}")
        return duration

    return AfterValidator(validate)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "minimum": 0,
            "description": "A duration: 10s, 500ms, 5m, 1h30m, PT10S or a number of seconds.",
        }
    ),
    Kind("duration"),
]
"""A length of time, not negative."""

PositiveDuration = Annotated[Duration, at_least(timedelta(milliseconds=1))]
"""A length of time of at least one millisecond, the finest that is kept anywhere."""

PositiveSize = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "minimum": 1,
            "description": "A size: 32KiB, 1MiB or a number of bytes.",
        }
    ),
    Kind("size"),
]
"""A number of bytes, at least one."""

Count = Annotated[int, Field(ge=0), BeforeValidator(_not_a_truth_value), Kind("int")]
"""A whole number, not negative."""

PositiveCount = Annotated[int, Field(ge=1), BeforeValidator(_not_a_truth_value), Kind("int")]
"""A whole number, at least one."""

PositiveNumber = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_no_truth_value),
    PlainSerializer(_shortest, return_type=float, when_used="json"),
    Kind("number"),
]
"""A number above zero, not necessarily whole."""
