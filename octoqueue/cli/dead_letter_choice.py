"""Which dead letters a command is about: those named, or those that match.

Weakness: only the newest 10,000 of a queue are looked at for a match; a larger heap is worked off
by running the command again. Ages are by this machine's clock, deaths by the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import typer

from octoqueue.cli.dead_letter_views import call_of, reason_of
from octoqueue.errors import DeadLetterUnknown
from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import MessageId, id_from_text, text_from_id
from octoqueue.primitives.messages import DeadLetter
from octoqueue.settings.quantities import parse_duration

LOOKED_AT: Final = 10_000
_FILTERS: Final = ("actor", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was said on the command line."""

    message_ids: tuple[MessageId, ...] = ()
    actor: str | None = None
    error: str | None = None
    older_than: timedelta | None = None
    limit: int | None = None

    @property
    def only_age(self) -> bool:
        """Whether age alone decides, so that the store itself can find them all."""
        return self.older_than is not None and self.actor is None and self.error is None

    async def letters(self, store: LaneStore, queue: str) -> list[DeadLetter]:
        """Return the dead letters meant, oldest first; those named, in the order of their names.

        Raises:
            DeadLetterUnknown: one that was named is not there.
        """
        if self.message_ids:
            return [await _named(store, queue, each) for each in self.message_ids]
        newest = await store.dead_letters(queue, limit=LOOKED_AT)
        now_ms = SystemClock().now_ms()
        return [letter for letter in reversed(newest) if self._matches(letter, now_ms)][
            : self.limit
        ]

    def _matches(self, letter: DeadLetter, now_ms: int) -> bool:
        if self.older_than is not None:
            age = timedelta(milliseconds=now_ms - letter.died_at_ms)
            if age <= self.older_than:
                return False
        if self.error is not None and reason_of(letter).get("error") != self.error:
            return False
        if self.actor is None:
            return True
        call = call_of(letter)
        return call is not None and call.actor == self.actor


async def _named(store: LaneStore, queue: str, message_id: MessageId) -> DeadLetter:
    letter = await store.dead_letter(queue, message_id)
    if letter is None:
        raise DeadLetterUnknown(queue, text_from_id(message_id))
    return letter


def choice_from(
    context: typer.Context,
    ids: Sequence[str],
    *,
    everything: bool,
    older_than: str | None = None,
    **said: Any,  # noqa: ANN401 - fields of `Choice`, as they are
) -> Choice:
    """Return the choice that the words of a command make.

    Raises:
        typer.BadParameter: nothing is chosen, or two ways at the same time, or a word is wrong.
    """
    filters = older_than is not None or any(said.get(name) is not None for name in _FILTERS)
    if ids and (filters or everything or said.get("limit") is not None):
        raise typer.BadParameter("name messages or say which match, not both", ctx=context)
    if not (ids or filters or everything):
        raise typer.BadParameter(
            "say which: the ids of messages, what they must match, or --all", ctx=context
        )
    return Choice(
        message_ids=tuple(dict.fromkeys(id_from(context, text) for text in ids)),
        older_than=None if older_than is None else _age_from(context, older_than),
        **said,
    )


def id_from(context: typer.Context, text: str) -> MessageId:
    """Return the id that a word of the command line names."""
    found = id_from_text(text.lower())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no message id; 'octoqueue dead-letters list' shows them", ctx=context
        )
    return found


def _age_from(context: typer.Context, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as wrong:
        raise typer.BadParameter(f"--older-than: {text!r} {wrong}", ctx=context) from None
