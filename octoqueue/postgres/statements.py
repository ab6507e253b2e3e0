"""Named SQL statements, parsed from `sql/*.sql`.

A file holds the statements of one owner. Each begins with its name, says what it is for, and
explains every parameter and what comes back:

    -- name: forget_session
    -- Deletes what is kept of a session.
    -- $1 uuid: the session
    -- returns nothing
    delete from sessions where session_id = $1;

A statement whose parameters and comments disagree is refused when the file is read, so a comment
cannot go stale in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

from octoqueue.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEADER = re.compile(r"^-- name: (?P<name>\S+)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z]+(_[a-z0-9]+)+")
_EXPLAINED = re.compile(r"^-- \$(\d+) \S+", re.MULTILINE)
_USED = re.compile(r"\$(\d+)")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One named statement."""

    name: str
    """`verb_object`; errors and logs show it instead of the text."""
    text: str
    """What is sent to the server, comments removed."""
    parameters: int
    """How many it takes."""


@cache
def load_statements(owner: str) -> Mapping[str, Statement]:
    """Return the statements of `sql/<owner>.sql` by name.

    Raises:
        DeclarationError: the file breaks a rule of this module; names the statement.
    """
    source = files("octoqueue.postgres").joinpath("sql", f"{owner}.sql").read_text("utf-8")
    return MappingProxyType({each.name: each for each in parse_statements(source, origin=owner)})


def parse_statements(source: str, *, origin: str) -> tuple[Statement, ...]:
    """Return the statements of one file's text, in order.

    Raises:
        DeclarationError: a name is no `verb_object` or appears twice, a statement is empty, or its
            parameters and their comments disagree.
    """
    found: dict[str, Statement] = {}
    for name, block in _blocks(source):
        where = f"{origin}.sql: {name}"
        if not _NAME.fullmatch(name):
            raise DeclarationError(f"{where}: a statement is named verb_object")
        if name in found:
            raise DeclarationError(f"{where}: the name is taken")
        found[name] = _statement(name, block, where=where)
    return tuple(found.values())


def _blocks(source: str) -> Iterator[tuple[str, str]]:
    headers = list(_HEADER.finditer(source))
    ends = [header.start() for header in headers[1:]] + [len(source)]
    for header, end in zip(headers, ends, strict=True):
        yield header["name"], source[header.end() : end]


def _statement(name: str, block: str, *, where: str) -> Statement:
    lines = (line.rstrip() for line in _COMMENT.sub("", block).splitlines())
    text = "\n".join(line for line in lines if line).rstrip(";")
    if not text:
        raise DeclarationError(f"{where}: no statement follows the name")
    used = {int(number) for number in _USED.findall(text)}
    explained = [int(number) for number in _EXPLAINED.findall(block)]
    if sorted(used) != explained or explained != list(range(1, len(used) + 1)):
        raise DeclarationError(
            f"{where}: uses parameters {sorted(used)} and explains {explained}; "
            "write one `-- $n type: meaning` line for each, in order"
        )
    return Statement(name=name, text=text, parameters=len(used))
