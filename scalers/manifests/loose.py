"""Looking into what nobody has checked: parts that are missing or of another kind are empty."""

from __future__ import annotations

from typing import Any, cast


def mapping_of(value: object) -> dict[str, Any]:
    """Return a mapping, or an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items_of(value: object) -> list[Any]:
    """Return a list, or an empty one."""
    return [*cast("list[object]", value)] if isinstance(value, list) else []
