"""What a workflow may call: actors, seen from below the broker. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from octoqueue.workflows.values import resolved, why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Built(Protocol[R_co]):
    """A message that was built and not sent."""

    @property
    def actor_name(self) -> str:
        """Who runs it."""
        ...

    @property
    def queue_name(self) -> str:
        """Where it is to wait."""
        ...

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""
        ...

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """Options as they stand in the message."""
        ...

    async def result(self) -> R_co:
        """Wait for what the actor returned; here it says of which type that is."""
        ...


class Callee(Protocol[P, R_co]):
    """An actor, or what its `using(...)` returns."""

    def message(self, *args: P.args, **kwargs: P.kwargs) -> Built[R_co]:
        """Build a message without sending it."""
        ...


def returned_type(callee: object) -> Any:  # noqa: ANN401 - any type form there is
    """Return the type of what a callee gives; `Any` when that cannot be told."""
    options = getattr(callee, "options", None)
    if isinstance(options, dict) and "batch" in options:
        return Any  # its function returns a list: one entry a message
    function = getattr(callee, "function", None) or getattr(callee, "fn", None)
    return Any if function is None else _returned_by(function)


# Functions made inside of workflow functions come and go; their types must not keep them.
_known: WeakKeyDictionary[Callable[..., Any], Any] = WeakKeyDictionary()


def _returned_by(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    function = getattr(function, "__func__", function)
    annotations: dict[str, Any] = getattr(function, "__annotations__", {})
    if "return" not in annotations:
        return Any
    try:
        found = _known.get(function)
        if found is None:
            found = _known[function] = _resolved(function, annotations["return"])
    except TypeError:  # it cannot be a key
        return _resolved(function, annotations["return"])
    return found


def _resolved(function: Callable[..., Any], written: object) -> Any:  # noqa: ANN401
    try:
        found = resolved(function, {"return": written})["return"]
    except (NameError, TypeError, AttributeError, SyntaxError, KeyError):
        return Any  # imported for type checkers only: plain JSON, then
    return Any if why_unusable(found) else found
