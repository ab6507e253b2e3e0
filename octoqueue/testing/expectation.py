"""`Expectation`: what a test wants to be enqueued, and what it is told when it is not. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from octoqueue.testing.enqueued import arguments, called, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from octoqueue.testing.enqueued import Enqueued

_SHOWN = 10


class Declared(Protocol):
    """An actor, ours or a plain one of dramatiq."""

    @property
    def actor_name(self) -> str:
        """Its name."""
        ...

    @property
    def fn(self) -> Callable[..., Any]:
        """Its function, or a wrapper around it."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was declared with."""
        ...


@dataclass(frozen=True, slots=True)
class Expectation:
    """Messages of one actor; what is None may be anything."""

    actor: Declared
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    lane: str | None
    queue: str | None
    tenant: str | None
    due_in: timedelta | None
    count: int | None

    def met_by(self, enqueued: Sequence[Enqueued]) -> list[Enqueued]:
        """Return those that are as wanted.

        Raises:
            AssertionError: they are not as many as wanted; says what is there instead.
        """
        __tracebackhide__ = True
        own = [one for one in enqueued if one.actor == self.actor.actor_name]
        met = [one for one in own if not self._differences(one)]
        is_met = bool(met) if self.count is None else len(met) == self.count
        if not is_met:
            raise AssertionError(self._told(met, own, enqueued))
        return met

    def _differences(self, one: Enqueued) -> list[str]:
        told = [
            f"{name}: wanted {wanted!r}, is {found!r}"
            for name, wanted, found in (
                ("lane", self.lane, one.lane),
                ("queue", self.queue, one.queue),
                ("tenant", self.tenant, one.tenant),
                ("due_in", self.due_in, one.due_in),
            )
            if wanted is not None and wanted != found
        ]
        if self.args or self.kwargs:
            function = self._function
            wanted = arguments(function, self.args, self.kwargs)
            told += differences(arguments(function, one.args, one.kwargs), wanted)
        return told

    @property
    def _function(self) -> Callable[..., Any]:
        if self.actor.options.get("batch") is not None:
            return _one_item  # its function takes a list, its messages carry one item each
        return self.actor.fn

    def _told(
        self, met: Sequence[Enqueued], own: Sequence[Enqueued], enqueued: Sequence[Enqueued]
    ) -> str:
        wanted = "at least 1" if self.count is None else str(self.count)
        lines = [f"{wanted} of {self._described()} should be enqueued, {len(met)} are"]
        lines += [f"  {one}" for one in met[:_SHOWN]]
        others = [one for one in own if one not in met]
        if others:
            lines.append(f"other messages of {self.actor.actor_name}:")
        for one in others[:_SHOWN]:
            lines.append(f"  {one}")
            lines += [f"      {difference}" for difference in self._differences(one)]
        if len(others) > _SHOWN:
            lines.append(f"  … and {len(others) - _SHOWN} more")
        strangers = Counter(one.actor for one in enqueued if one.actor != self.actor.actor_name)
        if strangers:
            counted = ", ".join(f"{count} of {name}" for name, count in sorted(strangers.items()))
            lines.append(f"of other actors: {counted}")
        elif not own:
            lines.append("nothing is enqueued")
        return "\n".join(lines)

    def _described(self) -> str:
        told = called(self.actor.actor_name, self.args, self.kwargs)
        for name in ("lane", "queue", "tenant", "due_in"):
            value = getattr(self, name)
            if value is not None:
                told += f", {name} {value}"
        return told


def _one_item(item: object, /) -> object:
    """Take what a message of a batch actor takes."""
    return item
