"""The configuration for people: every value with its origin, every key with its meaning.

Nothing listed here is a secret: passwords are masked before anything leaves this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from pydantic.json_schema import GenerateJsonSchema

from octoqueue.settings import keys
from octoqueue.settings.quantities import format_duration, format_size
from octoqueue.telemetry.masking import mask_secret, mask_urls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from octoqueue.settings.layer import Origin
    from octoqueue.settings.root import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value as it may be shown."""

    key: str
    value: object
    """As in the file: text, number, list; None also for each key of a section that nobody wrote;
    an empty mapping where no name was given."""
    origin: Origin


def list_values(loaded: Loaded) -> tuple[Entry, ...]:
    """Return every value of a configuration in the order of declaration, secrets masked."""
    model = type(loaded.settings)
    written = loaded.settings.model_dump(mode="json")
    return tuple(
        Entry(
            key=keys.dotted(path),
            value=_masked(value, keys.key_at(model, path)),
            origin=loaded.origin_of(path),
        )
        for path, value in _leaves(model, written, ())
    )


def reference_table(model: type[BaseModel]) -> str:
    """Return a Markdown table of every key of `model`: type, default, environment, meaning."""
    rows = [
        "| key | type | default | environment | meaning |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| `{keys.dotted(key.path)}` | {key.type_name} | {_default(key)} "
        f"| `{key.variable}` | {key.meaning} |"
        for key in keys.keys_of(model)
    ]
    return "\n".join(rows) + "\n"


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **model.model_json_schema(schema_generator=_AsWritten),
    }


class _AsWritten(GenerateJsonSchema):
    """Shows the default of a duration as it is written in the file."""

    def encode_default(self, dft: object) -> object:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _leaves(
    model: type[BaseModel], values: dict[str, Any], above: keys.KeyPath
) -> Iterator[tuple[keys.KeyPath, object]]:
    for name, value in values.items():
        path = (*above, name)
        if isinstance(value, dict) and value:
            yield from _leaves(model, cast("dict[str, Any]", value), path)
        elif value is None and keys.shape_at(model, path) == "section":
            # A section that nobody wrote has no values, not even defaults: none of its keys counts.
            yield from ((key, None) for key in keys.paths_below(model, path))
        else:
            yield path, value


def _masked(value: object, key: keys.Key | None) -> object:
    if not isinstance(value, str):
        return value
    return mask_secret(value) if key and key.is_secret else mask_urls(value)


def _default(key: keys.Key) -> str:
    if key.is_required:
        return "required"
    value: object = key.default
    if value is None:
        return "none"
    if isinstance(value, timedelta):
        value = format_duration(value)
    elif key.type_name == "size":
        value = format_size(key.default)
    return f"`{value}`"
