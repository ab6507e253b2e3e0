"""Cron windows, with their traps of weekdays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from octoqueue.errors import DeclarationError
from octoqueue.scaling.policy import FloorWindow
from octoqueue.scaling.schedule import why_ambiguous
from scalers.manifests.finding import Finding
from scalers.manifests.rules.triggers import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scalers.manifests.crds import Trigger

_KEYS = ("timezone", "start", "end", "desiredReplicas")
_FIELDS: Final = 5
_WORDS = re.compile(r"[a-z]{3}", re.IGNORECASE)
_SUNDAY_AS_SEVEN = re.compile(r"(?<![/\d])7(?!\d)")


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
    for name in ("start", "end"):
        strange = _why_keda_reads_it_otherwise(metadata[name])
        if strange:
            problem, advice = strange
            yield Finding(
                source=source,
                field=f"{field}.{name}",
                problem=f"{metadata[name]!r} {problem}",
                advice=advice,
            )
            return
    # To KEDA a question mark is a star.
    start, end = start.replace("?", "*"), end.replace("?", "*")
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


def _why_keda_reads_it_otherwise(expression: str) -> tuple[str, str] | None:
    """Return what is wrong with an expression that other crons read, and what to write.

    KEDA's is robfig/cron v3: five fields, days of the week from 0 to 6, none of `L`, `W` and `#`,
    and a star with a step is no star when both fields of days are given.
    """
    fields = expression.split()
    if len(fields) != _FIELDS:
        return f"has {len(fields)} fields, and KEDA takes {_FIELDS}", "Leave seconds out"
    day, weekday = fields[2], fields[4]
    if re.search(r"[LW#]", _WORDS.sub("", expression), re.IGNORECASE):
        return "has one of L, W and #, which KEDA does not take", "Name the days by numbers"
    if _SUNDAY_AS_SEVEN.search(weekday):
        return "says Sunday as 7, and KEDA takes 0 to 6", "Write 0 or SUN"
    stepped = [field for field in (day, weekday) if field.startswith(("*/", "?/"))]
    if stepped and not {day, weekday} & {"*", "?"}:
        problem = (
            "names days of the month and of the week, one of them by steps: to KEDA one of the two "
            "is enough, to other crons both must be"
        )
        return problem, "Name days in one of the two fields"
    return None
