"""The file: what stands where in it.

Plain YAML as `yaml.safe_load` reads it, with two differences: a key that stands twice is refused
instead of silently overwritten, and a key is always text (a queue may be called `on` or `7`).
Nothing of the file's text is repeated in an error, for there may be a password in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from octoqueue.errors import ConfigError
from octoqueue.settings import keys
from octoqueue.settings.layer import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_settings import BaseSettings

_MERGE: Final = "tag:yaml.org,2002:merge"
_NULL: Final = "tag:yaml.org,2002:null"
_QUOTED: Final = re.compile(r"('.'|'<[a-z ]+>')|'[^']*'")


def read_file(model: type[BaseSettings], path: Path) -> Layer:
    """Return what `path` says; it may also be a pipe.

    Raises:
        ConfigError: The file cannot be read, or is no YAML mapping.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {_reason(error)}") from None
    reading = _Reading(loader, path)
    try:
        values = reading.document()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line} is not YAML: {_reason(error)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {_reason(error)}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply, or contains itself") from None
    finally:
        loader.dispose()
    return Layer(
        model, name="file", values=values, places=reading.places, problems=reading.problems
    )


class _Reading:
    """One pass over the nodes of one file."""

    def __init__(self, loader: yaml.SafeLoader, path: Path) -> None:
        self._loader = loader
        self._path = path
        self.places: dict[keys.KeyPath, str] = {}
        self.problems: list[ConfigError] = []

    def document(self) -> dict[str, Any]:
        node = self._loader.get_single_node()
        if node is None or node.tag == _NULL:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise yaml.MarkedYAMLError(
                problem="it must be a mapping of keys", problem_mark=node.start_mark
            )
        return self._mapping(node, ())

    def _mapping(self, node: yaml.MappingNode, above: keys.KeyPath) -> dict[str, Any]:
        self._refuse_repetitions(node, above)
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            path = (*above, self._text_of(key))
            self.places[path] = self._place(key)
            values[path[-1]] = (
                self._mapping(value, path)
                if isinstance(value, yaml.MappingNode)
                else self._loader.construct_object(value, deep=True)  # pyright: ignore[reportUnknownMemberType] - the stubs leave a parameter open
            )
        return values

    def _refuse_repetitions(self, node: yaml.MappingNode, above: keys.KeyPath) -> None:
        first: dict[str, str] = {}
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if key.tag == _MERGE:
                continue
            name, place = self._text_of(key), self._place(key)
            if name in first:
                dotted = keys.dotted((*above, name))
                text = f"{dotted}: stands twice, first at {first[name]} ({place})"
                self.problems.append(ConfigError(text, key=dotted))
            first.setdefault(name, place)

    def _text_of(self, key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(
                problem="a key must be a single word", problem_mark=key.start_mark
            )
        return str(key.value)

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, yaml.MarkedYAMLError):
        # A mark or the name of a token may be told, what else is quoted is text of the file.
        return _QUOTED.sub(
            lambda quoted: quoted[1] or "'…'", error.problem or error.context or "malformed"
        )
    if isinstance(error, yaml.YAMLError):
        return "it contains characters that YAML does not allow"
    return "a date or number in it is impossible"
