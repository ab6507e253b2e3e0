"""Objects as YAML with comments, always the same text for the same object."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from scalers.manifests.loose import items_of, mapping_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalers.manifests.model import Piece

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")


def yaml_text(piece: Piece, *, header: str = "", comments: Mapping[str, str]) -> str:
    """Return one document.

    Args:
        piece: The object.
        header: Above it.
        comments: What stands above a key, by its dotted path; positions of a list count from 0.

    Raises:
        KeyError: A comment is for a path that the object does not have.
    """
    fields = piece.model_dump(mode="json", by_alias=True, exclude_none=True)
    left = dict(comments)
    lines = [*_commented(header, ""), *_mapping(fields, "", (), left)]
    if left:
        raise KeyError(f"no such path to comment on: {', '.join(left)}")
    return "\n".join(lines) + "\n"


def _commented(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        if not paragraph.strip():
            yield f"{indent}#"
            continue
        # A line that begins with spaces keeps them, also where it is broken.
        hanging = paragraph[: len(paragraph) - len(paragraph.lstrip())]
        yield from textwrap.wrap(
            paragraph,
            width=_WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# {hanging}",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _mapping(
    fields: Mapping[str, Any], indent: str, path: tuple[str, ...], comments: dict[str, str]
) -> Iterator[str]:
    for key, value in fields.items():
        here = (*path, key)
        yield from _commented(comments.pop(".".join(here), ""), indent)
        yield from _entry(f"{indent}{_scalar(key)}:", value, indent, here, comments)


def _entry(
    begin: str, value: object, indent: str, path: tuple[str, ...], comments: dict[str, str]
) -> Iterator[str]:
    if fields := mapping_of(value):
        yield begin
        yield from _mapping(fields, f"{indent}  ", path, comments)
    elif items := items_of(value):
        yield begin
        yield from _items(items, f"{indent}  ", path, comments)
    else:
        yield f"{begin} {_scalar(value)}"


def _items(
    items: list[Any], indent: str, path: tuple[str, ...], comments: dict[str, str]
) -> Iterator[str]:
    for position, item in enumerate(items):
        here = (*path, str(position))
        yield from _commented(comments.pop(".".join(here), ""), indent)
        fields = mapping_of(item)
        if not fields:
            yield f"{indent}- {_scalar(item)}"
            continue
        lines = list(_mapping(fields, f"{indent}  ", here, comments))
        first = next(at for at, line in enumerate(lines) if not line.lstrip().startswith("#"))
        yield from lines[:first]
        yield f"{indent}- {lines[first].lstrip()}"
        yield from lines[first + 1 :]


def _scalar(value: object) -> str:
    """Return a scalar; text is quoted wherever somebody could read something else in it."""
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and yaml.safe_load(value) == value):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else json.dumps(value)
