"""What a workflow may call: actors, seen from below the broker. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

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


@lru_cache(maxsize=4096)
def _returned_by(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    written = getattr(function, "__annotations__", {}).get("return", Any)
    try:
        found = resolved(function, {"return": written})["return"]
    except (NameError, TypeError, AttributeError, SyntaxError, KeyError):
        return Any  # imported for type checkers only: plain JSON, then
    return Any if why_unusable(found) else found
