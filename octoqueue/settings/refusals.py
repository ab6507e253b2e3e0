"""From what pydantic found to sentences an operator can act on.

Each sentence has the key, what is wrong, what was meant, and the place: `redis.ur: unknown key; did
you mean redis.url? (octoqueue.yaml:3)`. A value is repeated only where it cannot be a secret.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from octoqueue.errors import ConfigError
from octoqueue.settings import keys
from octoqueue.settings.layer import Origin, origin_of
from octoqueue.settings.quantities import format_duration
from octoqueue.telemetry.masking import mask_urls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings

    from octoqueue.settings.layer import Layer

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than": "must be above {gt:g}",
    "string_type": "must be text",
    "path_type": "must be a path",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "model_type": "must be a section of keys",
    "dict_type": "must be a section of keys",
}
_LONGEST_SHOWN: Final = 60


def problems_from(
    error: ValidationError, model: type[BaseSettings], layers: Sequence[Layer]
) -> list[ConfigError]:
    """Return one refusal for each thing that is wrong, in the order of declaration."""
    found = [(_path_from(details), details) for details in error.errors(include_url=False)]
    paths = [path for path, _ in found]
    return [
        _problem(path, details, model, layers)
        for path, details in found
        # A list is also called too short when the items that are wrong leave it so.
        if details["type"] != "too_short" or paths.count(path) == 1
    ]


def _problem(
    path: keys.KeyPath, error: ErrorDetails, model: type[BaseSettings], layers: Sequence[Layer]
) -> ConfigError:
    dotted = keys.dotted(path)
    if error["type"] == "extra_forbidden":
        reason = _unknown(path, keys.nearest(model, path))
    else:
        reason = _reason(error) + _shown(error, keys.key_at(model, path))
    place = _place_of(layers, path)
    return ConfigError(f"{dotted}: {reason}{f' ({place})' if place else ''}", key=dotted)


def _path_from(error: ErrorDetails) -> keys.KeyPath:
    # An index into a list, and pydantic's mark for a bad name, are no names of ours.
    return tuple(part for part in error["loc"] if isinstance(part, str) and part != "[key]")


def _unknown(path: keys.KeyPath, near: keys.KeyPath | None) -> str:
    if near is None:
        return "unknown key"
    if keys.dotted(near) == keys.dotted(path):
        return f"write {near[-1]} below {keys.dotted(near[:-1])}, not with a dot"
    return f"unknown key; did you mean {keys.dotted(near)}?"


def _reason(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    sentence = _SENTENCES.get(error["type"])
    if sentence is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    return sentence.format(**context)


def _shown(error: ErrorDetails, key: keys.Key | None) -> str:
    value = error["input"]
    if error["type"] == "missing" or key is None or key.is_secret:
        return ""
    if isinstance(value, timedelta):
        value = format_duration(value)
    if not isinstance(value, str | int | float):
        return ""
    text = mask_urls(repr(value))
    return f", not {text}" if len(text) <= _LONGEST_SHOWN else ""


def _place_of(layers: Sequence[Layer], path: keys.KeyPath) -> str:
    """Return where `path` stands, or the section that lacks it."""
    for end in range(len(path), 0, -1):
        origin = origin_of(layers, path[:end])
        if origin != Origin("default"):
            return origin.place
    return ""
