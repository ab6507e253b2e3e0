"""Values as JSON: what workflows take, pass on, return and are told. Pure.

Types that JSON has itself are written and read by orjson, everything else (dataclasses, pydantic
models, typed dicts, unions, dates) by pydantic, which is imported with the first type that needs
it. A value is checked against its type when it is written and when it is read.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints
from weakref import WeakKeyDictionary

import orjson

from octoqueue.primitives.body_json import MARK, json_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import TypeAdapter

NULL = b"null"
_ANY: tuple[Any, ...] = (Any, object)
_SCALARS: dict[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
    None: (type(None),),
    type(None): (type(None),),
    list: (list, tuple),
    dict: (dict,),
}
"""Types that need no adapter, with the Python types of their values."""


def encode(value: object, type_: Any = Any) -> bytes:  # noqa: ANN401 - any type form there is
    """Return a value of that type as JSON.

    Raises:
        ValueError: it is not of the type, or has no JSON form; says why.
    """
    kinds = _kinds_of(type_)
    if kinds is None:
        return _encoded_by_adapter(value, type_)
    if kinds and not _is_one_of(value, kinds):
        raise ValueError(f"a {type(value).__name__} is no {name_of(type_)}")
    return plain_json(value)


def decode(text: bytes, type_: Any = Any) -> Any:  # noqa: ANN401 - what the type says
    """Return the value that a JSON text stands for.

    Raises:
        ValueError: it is no JSON, or not of the type; says why.
    """
    kinds = _kinds_of(type_)
    if kinds is None:
        return _decoded_by_adapter(text, type_)
    value = orjson.loads(text)
    if kinds and not _is_one_of(value, kinds):
        raise ValueError(f"{text[:80].decode(errors='replace')} is no {name_of(type_)}")
    return value


def plain_json(value: object) -> bytes:
    """Return a value of no particular type as JSON that every reader reads alike.

    Raises:
        ValueError: it has no such form.
    """
    try:
        text = orjson.dumps(value, default=_model_fields)
        if b"null" in text:  # it may stand for a number that is not finite
            text = json_from(orjson.loads(text) if b"{" in text and _holds_model(value) else value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if text[:1] == MARK:
        raise ValueError("a number is not finite")
    return text


def why_unusable(type_: Any) -> str | None:  # noqa: ANN401 - any type form there is
    """Return why values of a type cannot be written and read; None when they can."""
    if _kinds_of(type_) is not None:
        return None
    try:
        _adapter(type_)
    except Exception as error:  # noqa: BLE001 - whatever pydantic or the type itself raises
        return str(error).partition("\n")[0]
    return None


def name_of(type_: Any) -> str:  # noqa: ANN401 - any type form there is
    """Return how a type is called."""
    return getattr(type_, "__name__", None) or str(type_)


def resolved(function: Callable[..., Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return annotations of a function as types.

    Raises:
        NameError: one names what is not there at run time.
        TypeError: one is no type.
    """
    inner: Any = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    names: tuple[str, ...] = getattr(getattr(inner, "__code__", None), "co_freevars", ())
    closed: dict[str, Any] = {}
    for name, cell in zip(names, getattr(inner, "__closure__", None) or (), strict=False):
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    holder = _Annotated()
    holder.__annotations__ = dict(annotations)
    spaces = getattr(inner, "__globals__", {})
    return get_type_hints(holder, spaces, closed, include_extras=True)


class _Annotated:
    """Carries annotations to where they are read."""

    __annotations__: dict[str, Any]


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    # A bool is an int for Python, not for JSON.
    return isinstance(value, kinds) and (type(value) is not bool or kinds == (bool,))


def _kinds_of(type_: Any) -> tuple[type, ...] | None:  # noqa: ANN401 - any type form there is
    """Return the Python types of a type that JSON has; () for any, None when it has none."""
    try:
        if type_ in _ANY:
            return ()
        return _SCALARS.get(type_)
    except TypeError:  # not hashable: an annotation with metadata
        return None


def _encoded_by_adapter(value: object, type_: Any) -> bytes:  # noqa: ANN401
    adapter = _adapter(type_)
    try:
        known = adapter.validate_python(value)
        try:
            return _read_back(adapter, known, by_alias=True)
        except ValueError as refusal:
            try:  # fields may be read by other names than they are written by
                return _read_back(adapter, known, by_alias=False)
            except ValueError:
                raise refusal from None
    except ValueError as error:
        raise ValueError(_reason(error)) from None


def _read_back(adapter: TypeAdapter[Any], value: object, *, by_alias: bool) -> bytes:
    """Return a value as JSON from which it can be read; not every type sees to that."""
    text = adapter.dump_json(value, by_alias=by_alias)
    if _schema_has_sets(adapter):
        tree = adapter.dump_python(value, by_alias=by_alias)
        text = json.dumps(_with_sorted_sets(json.loads(text), tree), separators=(",", ":")).encode()
    adapter.validate_json(text)
    return text


def _with_sorted_sets(written: Any, tree: Any) -> Any:  # noqa: ANN401
    """Return JSON with the elements of sets in order: theirs is another in each process."""
    # Unlike a value whose type was asked for, these stay of any type.
    text: Any = written
    shape: Any = tree
    if isinstance(tree, (set, frozenset)):
        return sorted(text, key=json.dumps)
    if isinstance(tree, dict) and isinstance(written, dict):
        return dict(zip(text, map(_with_sorted_sets, text.values(), shape.values()), strict=False))
    if isinstance(tree, (list, tuple)) and isinstance(written, list):
        return list(map(_with_sorted_sets, text, shape))
    return written


def _schema_has_sets(holder: Any) -> bool:  # noqa: ANN401 - an adapter or a model
    found = _sets_in.get(holder)
    if found is None:
        schema = getattr(holder, "core_schema", None) or holder.__pydantic_core_schema__
        shown = str(schema)
        found = _sets_in[holder] = "'type': 'set'" in shown or "'type': 'frozenset'" in shown
    return found


_sets_in: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _decoded_by_adapter(text: bytes, type_: Any) -> Any:  # noqa: ANN401
    try:
        return _adapter(type_).validate_json(text)
    except ValueError as error:
        raise ValueError(_reason(error)) from None


@lru_cache(maxsize=2048)
def _adapter(type_: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type form there is
    from pydantic import TypeAdapter  # noqa: PLC0415 - 60 ms that most programs do not need

    return TypeAdapter(type_)


def _reason(error: ValueError) -> str:
    """Return what is wrong in one line: places and sentences."""
    errors: Any = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    listed = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in listed
    )


def _model_fields(value: object) -> Any:  # noqa: ANN401 - whatever the model has
    dump: Any = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"a {type(value).__name__} has no JSON form")
    if not _schema_has_sets(type(value)):
        return dump(mode="json", by_alias=True)
    return _with_sorted_sets(dump(mode="json", by_alias=True), dump(by_alias=True))


def _holds_model(value: object) -> bool:
    """Whether orjson alone cannot write the value."""
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
