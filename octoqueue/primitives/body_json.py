"""The JSON of a body: as orjson writes it, and where that would refuse or lose a value, as Python.

orjson refuses dict keys that are no strings, integers over 64 bits and lone surrogates, writes NaN
and infinities as null, and reads a long integer as a float. Programs written for dramatiq send all
of these. A text that Python's json had to write begins with a space, and is read by it again; what
a key was before it became a string is lost, as it is with dramatiq.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = Any
"""A value with a JSON form; the two libraries decide, not the type checker."""

MARK = b" "
"""How a text begins that only Python's json can read."""
_PLAIN = frozenset({str, int, bool, type(None)})
"""Most values: they hold no number that is not finite."""


def json_from(value: Json) -> bytes:
    """Return `value` as JSON.

    Raises:
        TypeError: it has no JSON form.
    """
    try:
        text = orjson.dumps(value)
    except TypeError as refusal:
        return _written_by_python(value, refusal)
    if b"null" in text and _has_non_finite(value):
        return _written_by_python(value, TypeError("a number is not finite"))
    return text


def value_from(text: bytes | memoryview) -> Json:
    """Return the value of a text that `json_from` wrote.

    Raises:
        ValueError: it is no JSON.
    """
    if text[:1] == MARK:
        return json.loads(bytes(text))
    return orjson.loads(text)


def _written_by_python(value: Json, refusal: TypeError) -> bytes:
    try:
        text = json.dumps(value, separators=(",", ":"), default=_written_by_orjson)
    except (TypeError, ValueError, RecursionError):
        raise refusal from None
    return MARK + text.encode()


def _written_by_orjson(value: object) -> Json:
    """Return the JSON form of a value that only orjson has one for, such as a date."""
    return orjson.loads(orjson.dumps(value))


def _has_non_finite(value: Json) -> bool:
    """Whether a value orjson has written holds a number that it has written as null."""
    inner: Iterable[object]
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, (list, tuple)):
        inner = cast("list[object]", value)
    else:
        return isinstance(value, float) and not isfinite(value)
    for each in inner:
        kind: type[object] = type(each)
        if kind not in _PLAIN and (each or kind is float) and _has_non_finite(each):
            return True
    return False
