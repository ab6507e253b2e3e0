"""`Layer`: the values of one source of configuration, each with the place it stands at.

Layers are pydantic-settings sources; the first of several has the last word. A layer is data: it
was read by the module of its kind (`yaml_file`, `environment`, `overrides`) and knows what was
wrong there, so that all problems of all layers can be reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from octoqueue.errors import ConfigError
    from octoqueue.settings.keys import KeyPath

LayerName = Literal["override", "environment", "file", "default"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from."""

    layer: LayerName
    place: str = ""
    """`octoqueue.yaml:12`, `OCTOQUEUE_REDIS_URL`; empty for a default."""


class Layer(PydanticBaseSettingsSource):
    """One source of configuration, already read."""

    def __init__(
        self,
        model: type[BaseSettings],
        *,
        name: LayerName,
        values: dict[str, Any],
        places: Mapping[KeyPath, str],
        problems: Sequence[ConfigError] = (),
    ) -> None:
        super().__init__(model)
        self.name: LayerName = name
        self.values = values
        self.problems = tuple(problems)
        self._places = places

    def __call__(self) -> dict[str, Any]:
        """Return the values, nested as the sections are."""
        return self.values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one top-level value, as pydantic-settings asks for it."""
        del field
        return self.values.get(field_name), field_name, False

    def holds(self, path: KeyPath) -> bool:
        """Tell whether this layer says something at `path`."""
        below: object = self.values
        for name in path:
            if not isinstance(below, dict) or name not in below:
                return False
            below = cast("dict[str, object]", below)[name]
        return True

    def place_of(self, path: KeyPath) -> str:
        """Return where `path`, or the nearest part above it, stands; empty when nowhere."""
        for end in range(len(path), 0, -1):
            place = self._places.get(path[:end])
            if place is not None:
                return place
        return ""


def origin_of(layers: Sequence[Layer], path: KeyPath) -> Origin:
    """Return where the value at `path` comes from when `layers` are asked in order."""
    for layer in layers:
        if layer.holds(path):
            return Origin(layer.name, layer.place_of(path))
    return Origin("default")


def put(values: dict[str, Any], path: KeyPath, value: object) -> None:
    """Set `value` at `path`; a mapping below a mapping, whatever stood on the way."""
    for name in path[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[path[-1]] = value
