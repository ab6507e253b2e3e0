"""What a queue may be called: what dramatiq allows, which can stand in a key as it is."""

from __future__ import annotations

import re
from typing import Final

from octoqueue.errors import InvalidMessage

LETTERS_PREFIX: Final = "orchestrator."
"""How queues begin in which letters to orchestrators wait; a partition's number follows."""

QUEUE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


def require_queue_name(name: object) -> None:
    """Refuse what can be the name of no queue.

    Raises:
        InvalidMessage: it cannot.
    """
    if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
        rule = "letters, digits, '.', '_' and '-', a letter or '_' first"
        raise InvalidMessage("queue", f"{name!r} is no name of a queue: {rule}")
