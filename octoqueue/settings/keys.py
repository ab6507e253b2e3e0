"""The keys of a configuration, read off its models: what exists, what it is called, what is near.

A path is a tuple of names: `("lanes", "queues", "planner", "high")` is written
`lanes.queues.planner.high` in a sentence and `OCTOQUEUE_LANES__QUEUES__PLANNER__HIGH` in the
environment. Where the name is free, the list of all keys says `<name>`.

The environment does not tell upper from lower case, so a queue with a capital letter in its name
can be configured in the file only.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from octoqueue.settings.quantities import Kind
from octoqueue.settings.section import Secret, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]
Shape = Literal["section", "table", "list", "value"]
"""`section`: known keys. `table`: free names. `list` and `value`: the ends of a path."""

PREFIX: Final = "OCTOQUEUE_"
NESTED: Final = "__"
ANY_NAME: Final = "<name>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key that can be set, as the operator knows it."""

    path: KeyPath
    type_name: str
    is_required: bool
    default: Any
    """The value when nobody sets one; meaningless when `is_required`."""
    meaning: str
    is_secret: bool
    short_variable: str | None
    """A second name in the environment, shorter than the one the path gives it."""

    @property
    def variable(self) -> str:
        """Its name in the environment, the short one where there is one."""
        return self.short_variable or variable_from(self.path)

    def covers(self, path: KeyPath) -> bool:
        """Tell whether `path` is this key, with any name where a name is free."""
        return len(path) == len(self.path) and self.stands_below(path)

    def stands_below(self, path: KeyPath) -> bool:
        """Tell whether `path` leads to this key, with any name where a name is free."""
        return len(path) <= len(self.path) and all(
            own in (ANY_NAME, part) for own, part in zip(self.path, path, strict=False)
        )


def dotted(path: KeyPath) -> str:
    """Return `path` as it is written in a sentence."""
    return ".".join(path)


def variable_from(path: KeyPath) -> str:
    """Return the environment variable that sets `path`."""
    return PREFIX + NESTED.join(path).upper()


@cache
def keys_of(model: type[BaseModel]) -> tuple[Key, ...]:
    """Return every key of `model` in the order of declaration."""
    return tuple(_keys_below(model, ()))


def key_at(model: type[BaseModel], path: KeyPath) -> Key | None:
    """Return the key that stands at `path`, None when there is none (a section is no key)."""
    return next((key for key in keys_of(model) if key.covers(path)), None)


def paths_below(model: type[BaseModel], path: KeyPath) -> tuple[KeyPath, ...]:
    """Return the paths of all keys of the section at `path`."""
    below = (key.path[len(path) :] for key in keys_of(model) if key.stands_below(path))
    return tuple((*path, *rest) for rest in below)


def shape_at(annotation: object, path: KeyPath) -> Shape | None:
    """Return what stands at `path` below `annotation`, None when nothing does."""
    bare = _bare(annotation)
    if not path:
        return _shape_of(bare)
    name, rest = path[0], path[1:]
    if _is_section(bare):
        field = bare.model_fields.get(name)
        return None if field is None else shape_at(field.annotation, rest)
    if get_origin(bare) is dict:
        return shape_at(get_args(bare)[1], rest)
    return None


def nearest(model: type[BaseModel], path: KeyPath) -> KeyPath | None:
    """Return the known path that was probably meant by the unknown `path`."""
    flat = "_".join(path).replace(".", "_")
    known = {"_".join(key.path): key.path for key in keys_of(model) if ANY_NAME not in key.path}
    if flat in known:  # dots and underscores are in the wrong places
        return known[flat]
    for depth, name in enumerate(path):
        if shape_at(model, path[: depth + 1]) is None:
            parent, rest = path[:depth], path[depth + 1 :]
            for sibling in get_close_matches(name, _names_in(model, parent), n=3):
                near = (*parent, sibling, *rest)
                if shape_at(model, near) is not None:
                    return near
            break
    close = get_close_matches(flat, known, n=1, cutoff=0.75)
    if close:
        return known[close[0]]
    return next((near for near in known.values() if near[-1] == path[-1]), None)


def _keys_below(model: type[BaseModel], above: KeyPath) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        path = (*above, name)
        bare = _bare(field.annotation)
        if get_origin(bare) is dict:
            bare, path = _bare(get_args(bare)[1]), (*path, ANY_NAME)
        if _is_section(bare):
            yield from _keys_below(bare, path)
        else:
            yield _key(path, field)


def _key(path: KeyPath, field: FieldInfo) -> Key:
    marks = _marks(field)
    default = field.get_default(call_default_factory=True, validated_data={})
    return Key(
        path=path,
        type_name=_type_name(field.annotation, marks),
        is_required=default is PydanticUndefined,
        default=default,
        meaning=" ".join((field.description or "").split()),
        is_secret=any(isinstance(mark, Secret) for mark in marks),
        short_variable=next((mark.name for mark in marks if isinstance(mark, Variable)), None),
    )


def _names_in(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the names of the section at `path`; none where names are free."""
    annotation: object = model
    for name in path:
        bare = _bare(annotation)
        annotation = bare.model_fields[name].annotation if _is_section(bare) else get_args(bare)[1]
    bare = _bare(annotation)
    return list(bare.model_fields) if _is_section(bare) else []


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _shape_of(bare: object) -> Shape:
    if _is_section(bare):
        return "section"
    origin = get_origin(bare)
    if origin is dict:
        return "table"
    return "list" if origin in (list, tuple) else "value"


def _bare(annotation: Any) -> Any:  # noqa: ANN401 - an annotation can be anything
    """Return `annotation` without what is annotated to it and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        (only, *more) = (arg for arg in get_args(annotation) if arg is not NoneType)
        return annotation if more else _bare(only)
    return annotation


def _marks(field: FieldInfo) -> list[object]:
    """Return what is annotated to the field, also to the one type beside None."""
    nested = [
        mark
        for arg in get_args(field.annotation)
        if get_origin(arg) is Annotated
        for mark in get_args(arg)[1:]
    ]
    return [*field.metadata, *nested]


def _type_name(annotation: object, marks: list[object]) -> str:
    bare = _bare(annotation)
    kind = next((mark.name for mark in marks if isinstance(mark, Kind)), None)
    if kind is not None:
        return kind
    if get_origin(bare) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(bare))
    if get_origin(bare) in (list, tuple):
        return f"list of {_type_name(get_args(bare)[0], [])}"
    return "text" if bare is str else str(bare.__name__).lower()
