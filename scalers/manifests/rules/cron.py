"""Cron windows, with their traps of weekdays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import DeclarationError
from octoqueue.scaling.policy import FloorWindow
from octoqueue.scaling.schedule import why_ambiguous
from scalers.manifests.finding import Finding
from scalers.manifests.rules.triggers import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scalers.manifests.crds import Trigger

_KEYS = ("timezone", "start", "end", "desiredReplicas")


def cron_windows(
    triggers: Sequence[Trigger], source: str, *, most: int | None = None
) -> Iterator[Finding]:
    """Windows that do not mean what they say.

    Args:
        triggers: Of an object.
        source: The object.
        most: Its largest size, None when it knows none.
    """
    for position, trigger in enumerate(triggers):
        if trigger.type != "cron":
            continue
        field, metadata = field_of(position, "metadata"), trigger.metadata
        missing = [key for key in _KEYS if not metadata.get(key)]
        if missing:
            yield Finding(
                source=source,
                field=field,
                problem=f"{', '.join(missing)} is missing, and KEDA refuses the trigger",
                advice="Give timezone, start, end and desiredReplicas",
            )
            continue
        yield from _replicas(metadata["desiredReplicas"], source, field, most)
        yield from _window(trigger, source, field)


def _replicas(text: str, source: str, field: str, most: int | None) -> Iterator[Finding]:
    replicas = int(text) if text.isdecimal() else 0
    if replicas < 1:
        yield Finding(
            source=source,
            field=f"{field}.desiredReplicas",
            problem=f"{text!r} is no floor: a cron trigger cannot lower anything",
            advice="Write 1 or more",
        )
    elif most is not None and replicas > most:
        yield Finding(
            source=source,
            field=f"{field}.desiredReplicas",
            problem=f"{replicas} is above maxReplicaCount, {most}, and never reached",
            advice="Raise the maximum or lower the floor",
        )


def _window(trigger: Trigger, source: str, field: str) -> Iterator[Finding]:
    metadata = trigger.metadata
    start, end = metadata["start"], metadata["end"]
    try:
        reason = why_ambiguous(
            FloorWindow(start=start, end=end, workers=1, timezone=metadata["timezone"])
        )
    except DeclarationError as error:
        yield Finding(
            source=source,
            field=field,
            problem=f"cannot be read: {error}",
            advice="Write cron expressions of five fields and an IANA time zone",
        )
        return
    if reason:
        yield Finding(
            source=source,
            field=f"{field}.end",
            problem=f"from {start!r} to {end!r} the window {reason}; KEDA takes it for open "
            "whenever the next end comes before the next start, so also on days that were not "
            "meant",
            advice="Give start and end the same weekdays, or make two triggers of it",
        )
