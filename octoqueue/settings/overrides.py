"""What the command line says, above everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from octoqueue.settings.layer import Layer, put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import BaseSettings

    from octoqueue.settings.keys import KeyPath

_PLACE: Final = "command line"


def read_overrides(model: type[BaseSettings], overrides: Mapping[str, object]) -> Layer:
    """Return what `overrides` say: dotted key to value, None for an option that was not given."""
    values: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    for key, value in overrides.items():
        if value is not None:
            path = tuple(key.split("."))
            put(values, path, value)
            places[path] = _PLACE
    return Layer(model, name="override", values=values, places=places)
