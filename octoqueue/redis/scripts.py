"""The Lua scripts: read once from the package, includes pasted in, known by their SHA-1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

from octoqueue.errors import StoreProtocolError

_INCLUDE = re.compile(r"^--#include (\w+)$", re.MULTILINE)
_SCRIPT = re.compile(r"^--#script (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One verb."""

    name: str
    source: str
    sha: str


class ScriptCall(NamedTuple):
    """A script with everything it is given: what a connection sends, what a test inspects."""

    script: Script
    keys: list[str]
    args: list[str | bytes | int]


@cache
def script(name: str) -> Script:
    """Return the script `lua/<name>.lua`, its includes and scripts in place of their lines.

    Raises:
        StoreProtocolError: there is no such script or include in the package.
    """
    folder = files("octoqueue.redis").joinpath("lua")

    def read(path: str) -> str:
        try:
            return folder.joinpath(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StoreProtocolError(f"the package has no Lua file {path!r}") from None

    source = _INCLUDE.sub(lambda found: read(f"includes/{found[1]}.lua"), read(f"{name}.lua"))
    source = _SCRIPT.sub(lambda found: script(found[1]).source, source)
    # The algorithm is Redis's name for a script, not a protection of anything.
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


SCRIPT_NAMES = (
    "cancel",
    "move",
    "seek",
    "withdraw",
    "begin",
    "claim",
    "commit",
    "define",
    "emit",
    "announce",
    "enqueue",
    "enqueue_plain",
    "expired",
    "expiry",
    "extend",
    "fire",
    "flush",
    "minutes",
    "pause",
    "override",
    "lead",
    "promote",
    "publish",
    "purge",
    "recall",
    "reclaim",
    "remember",
    "replay",
    "retire",
    "signals",
    "stats",
)
