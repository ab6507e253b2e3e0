"""A presence as text: what a session leaves beside its lease. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import orjson

from octoqueue.primitives.signals import Presence

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_STORES_OWN = ("session", "said_at_ms")
_SAID = tuple(field.name for field in fields(Presence) if field.name not in _STORES_OWN)
_TEXTS = frozenset({"name", "fleet", "host"})
_REALS = frozenset(
    {"at_risk_seconds", "at_risk_cost", "at_risk_longest_seconds", "requests_per_second"}
)


def presence_text(presence: Presence) -> bytes:
    """Return a presence as text, without what the store knows by itself."""
    return orjson.dumps({name: getattr(presence, name) for name in _SAID})


def presence_from(session: str, said_at_ms: int, text: bytes) -> Presence:
    """Return the presence of a text; what a newer version says besides is left out.

    Raises:
        ValueError: it is none.
    """
    said: Any = orjson.loads(text)
    if not isinstance(said, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for whoever reads
    words = cast("dict[str, Any]", said)
    known = {name: _checked(name, words[name]) for name in _SAID if name in words}
    try:
        return Presence(session=session, said_at_ms=said_at_ms, **known)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _checked(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name == "queues":
        items = cast("list[object]", value) if isinstance(value, list) else [None]
        good, value = all(isinstance(item, str) for item in items), tuple(items)
    elif name in _TEXTS:
        good = isinstance(value, str)
    elif name == "is_draining":
        good = isinstance(value, bool)
    elif name in _REALS:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    else:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not good:
        raise ValueError(f"{name} is {value!r}")
    return value


def texts_to_look_for(queues: Sequence[str], fleet: str) -> list[bytes]:
    """Return texts one of which is in every presence that is wanted; it may be in others."""
    texts = [orjson.dumps(queue) for queue in queues]
    return [*texts, b'"fleet":' + orjson.dumps(fleet)] if fleet else texts


def is_wanted(presence: Presence, queues: Collection[str], fleet: str) -> bool:
    """Whether a worker serves one of the queues or belongs to the fleet."""
    return bool(fleet and presence.fleet == fleet) or any(
        name in queues for name in presence.queues
    )
