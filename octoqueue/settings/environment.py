"""The environment: `OCTOQUEUE_REDIS__POOL_SIZE=8` sets `redis.pool_size`.

An empty variable counts as not set, `null` sets nothing where there was something, a list is
separated by commas, and a whole section or a list may be given as JSON. A variable with our prefix
that sets nothing we know is refused, except those that Kubernetes adds by itself for a service
called `octoqueue…`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from octoqueue.errors import ConfigError
from octoqueue.settings import keys
from octoqueue.settings.file_choice import FILE_VARIABLE
from octoqueue.settings.layer import Layer, put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import BaseSettings

_SERVICE_LINK: Final = re.compile(
    r".*_SERVICE_HOST|.*_SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|.*_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?"
)
_SERVICE_ADDRESS: Final = ("tcp://", "udp://", "sctp://")


def read_environment(model: type[BaseSettings], environ: Mapping[str, str]) -> Layer:
    """Return what the variables of `environ` that start with `OCTOQUEUE_` say."""
    short = {key.short_variable: key.path for key in keys.keys_of(model) if key.short_variable}
    reading = _Reading(model)
    found: list[tuple[keys.KeyPath, str, str]] = []
    for name, text in environ.items():
        variable = name.upper()
        if not variable.startswith(keys.PREFIX) or variable == FILE_VARIABLE:
            continue
        path = short.get(variable) or _path_from(variable)
        if keys.shape_at(model, path) is None:
            if not _is_service_link(variable, text):
                reading.refuse_unknown(name, path)
        elif text:
            found.append((path, name, text))
    # The shorter path first: a single key has the last word over its section given as JSON.
    for path, name, text in sorted(found, key=lambda item: (len(item[0]), item)):
        reading.take(path, name, text)
    return Layer(
        model,
        name="environment",
        values=reading.values,
        places=reading.places,
        problems=reading.problems,
    )


def _path_from(variable: str) -> keys.KeyPath:
    return tuple(variable.removeprefix(keys.PREFIX).lower().split(keys.NESTED))


def _is_service_link(variable: str, text: str) -> bool:
    if _SERVICE_LINK.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and text.startswith(_SERVICE_ADDRESS)


class _Reading:
    """One pass over the variables of one environment."""

    def __init__(self, model: type[BaseSettings]) -> None:
        self._model = model
        self.values: dict[str, Any] = {}
        self.places: dict[keys.KeyPath, str] = {}
        self.problems: list[ConfigError] = []

    def refuse_unknown(self, name: str, path: keys.KeyPath) -> None:
        near = keys.nearest(self._model, path)
        hint = f"; did you mean {self._variable_of(near)}?" if near else ""
        self._refuse(path, f"{name}: unknown variable{hint}")

    def take(self, path: keys.KeyPath, name: str, text: str) -> None:
        twin = self.places.get(path)
        if twin is not None:
            self._refuse(path, f"{name}: sets the same key as {twin}; keep one of them")
            return
        try:
            value = self._value_from(path, text)
        except ValueError as error:
            self._refuse(path, f"{keys.dotted(path)}: {error} ({name})")
            return
        put(self.values, path, value)
        self.places[path] = name

    def _value_from(self, path: keys.KeyPath, text: str) -> object:
        shape = keys.shape_at(self._model, path)
        if shape == "value":
            return None if text == "null" else text
        if shape == "list" and not text.startswith("["):
            return [item.strip() for item in text.split(",")]
        try:
            value: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, list if shape == "list" else dict):
            return cast("object", value)
        below = keys.variable_from((*path, "…"))
        form = "a JSON list" if shape == "list" else f"a JSON object; or set {below} one by one"
        raise ValueError(f"must be {form}")

    def _variable_of(self, path: keys.KeyPath) -> str:
        key = keys.key_at(self._model, path)
        short = key.short_variable if key else None
        return short or keys.variable_from(path)

    def _refuse(self, path: keys.KeyPath, text: str) -> None:
        self.problems.append(ConfigError(text, key=keys.dotted(path)))
