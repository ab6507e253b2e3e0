"""`Lane`: the priority class of a message inside its queue.

The integer is the wire value: it stands in the envelope header and orders the lanes, lowest first
claimed. There are exactly three; a queue that needs more kinds of work needs another queue.
"""

from __future__ import annotations

from enum import IntEnum

from octoqueue.errors import InvalidMessage


class Lane(IntEnum):
    """A priority class, ordered by who is claimed first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def label(self) -> str:
        """The name used in configuration, logs, metrics and HTTP: `high`, `normal`, `low`."""
        return _LABELS[self]


LANES = tuple(Lane)
"""All lanes, highest first; the index is the wire value."""

_LABELS = ("high", "normal", "low")
_BY_LABEL = {lane.label: lane for lane in Lane}


def lane_from(value: Lane | str) -> Lane:
    """Return the lane named by `value`.

    Raises:
        InvalidMessage: `value` names no lane; the message lists the names.
    """
    if isinstance(value, Lane):
        return value
    try:
        return _BY_LABEL[value]
    except (KeyError, TypeError):
        raise InvalidMessage("lane", f"{value!r} is none of {', '.join(_LABELS)}") from None
