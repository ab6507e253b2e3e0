"""Which command does what a goal asks: phrases to argument lists.

Only a proposal: what may be run is decided by the sandbox's rules, whoever proposed it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from octoqueue.models.replies import CommandChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PATH = r"(?P<path>/[\w./@+-]*)"
_READ_CHARACTERS: Final = 300
"""How much of a goal the phrases look at: several gaps of any length take cubic time at worst."""
_COMMON: Final = frozenset(
    {
        "cat", "date", "df", "du", "echo", "find", "grep", "head", "id", "ls", "nproc", "pwd",
        "sha256sum", "sort", "tail", "uname", "uniq", "wc",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phrase:
    """Goals of one form, and the command they mean."""

    pattern: re.Pattern[str]
    argv: Callable[[re.Match[str]], list[str]]
    reason: str


def _phrase(pattern: str, argv: Callable[[re.Match[str]], list[str]], reason: str) -> Phrase:
    return Phrase(re.compile(pattern, re.IGNORECASE | re.DOTALL), argv, reason)


def _path(match: re.Match[str]) -> str:
    path = match["path"].rstrip(".") or "/"
    return path if path == "/" else path.rstrip("/")


PHRASES: Final = (
    _phrase(
        rf"\b(first|last|top|bottom)\s+(?P<count>\d{{1,6}})\s+lines?\b.*?{_PATH}",
        lambda m: [
            "head" if m[1].lower() in {"first", "top"} else "tail", "-n", m["count"], _path(m),
        ],
        "some lines of a file",
    ),
    _phrase(
        rf"\b(count|how many)\b.*?\b(?P<what>lines|words|characters)\b.*?{_PATH}",
        lambda m: [
            "wc", {"lines": "-l", "words": "-w"}.get(m["what"].lower(), "-m"), _path(m),
        ],
        "counting in a file",
    ),
    _phrase(
        rf"\b(disk (usage|space)|size|how (big|large))\b.*?{_PATH}",
        lambda m: ["du", "-sh", _path(m)],
        "the size of a folder",
    ),
    _phrase(r"\b(disk (usage|space)|free space)\b", lambda _: ["df", "-h"], "free disk space"),
    _phrase(
        rf"\b(?:find|list|show)\s+(?:all\s+)?(?P<name>[\w.*-]*\*[\w.*-]*)\s.*?{_PATH}",
        lambda m: ["find", _path(m), "-maxdepth", "4", "-name", m["name"]],
        "files by name",
    ),
    _phrase(
        rf"\bfiles?\s+(?:named|called|matching)\s+['\"`]?(?P<name>[^\s'\"`]+)['\"`]?\s.*?{_PATH}",
        lambda m: ["find", _path(m), "-maxdepth", "4", "-name", m["name"]],
        "files by name",
    ),
    _phrase(
        rf"\b(list|show|display|what)\b.*?\b(files|contents?|entries|director(y|ies)|folders?)\b"
        rf".*?(?<![\w/]){_PATH}",
        lambda m: ["cat" if _is_file(m) else "ls", *([] if _is_file(m) else ["-la"]), _path(m)],
        "what a folder holds",
    ),
    _phrase(
        rf"\b(search|grep|look)\s+for\s+['\"`]?(?P<text>[^'\"`]+?)['\"`]?\s+(in|under)\s+.*?{_PATH}",
        lambda m: ["grep", "-rn", m["text"], _path(m)],
        "lines that hold a text",
    ),
    _phrase(
        rf"\b(checksum|sha-?256|hash)\b.*?{_PATH}",
        lambda m: ["sha256sum", _path(m)],
        "a checksum",
    ),
    _phrase(
        rf"\b(read|print|show|display|cat)\b[^/]*?(?<![\w/]){_PATH}",
        lambda m: ["cat", _path(m)],
        "the text of a file",
    ),
    _phrase(
        r"^\s*(list|show|display)\s+(all\s+)?(the\s+)?files\b", lambda _: ["ls", "-la"],
        "what the working folder holds",
    ),
    _phrase(
        r"\b(current|today'?s?|what)\b.{0,20}\b(date|time|day)\b", lambda _: ["date", "-u"],
        "date and time",
    ),
    _phrase(
        r"\b(kernel|operating system|system information|os version)\b", lambda _: ["uname", "-a"],
        "the system's name",
    ),
    _phrase(
        r"\bhow many\b.*\b(cpus?|cores|processors)\b|\bnumber of (cpus?|cores|processors)\b",
        lambda _: ["nproc"],
        "the number of processors",
    ),
    _phrase(r"\b(who am i|current user|which user)\b", lambda _: ["id"], "the running user"),
    _phrase(
        r"\b(current|working) (directory|folder)\b", lambda _: ["pwd"], "the working folder"
    ),
    _phrase(
        r"^\s*(echo|say|print)\s+['\"`](?P<text>[^'\"`]*)['\"`]\s*[.!]?\s*$",
        lambda m: ["echo", m["text"]],
        "saying something",
    ),
)  # fmt: skip
_NAMED = re.compile(
    r"^\s*(?:please\s+)?(?:run|execute)\s+(?:the\s+)?(?:shell\s+)?(?:command\s*:?\s*)?(?P<line>.+?)\s*$",
    re.IGNORECASE | re.DOTALL,
)


_READERS: Final = frozenset({"cat", "head", "tail", "wc", "sha256sum", "sort", "uniq"})
_IS_A_FOLDER: Final = "Is a directory"


def command_for(goal: str, *, findings: Sequence[str] = ()) -> CommandChoice:
    """Return the command for a goal; without one when no phrase fits.

    Of what was wrong with the try before it understands one thing: that a folder was read as if it
    were a file. Then the folder is listed.
    """
    choice = _first_fit(goal)
    if choice.argv and choice.argv[0] in _READERS and _IS_A_FOLDER in " ".join(findings):
        argv = ("ls", "-la", choice.argv[-1])
        return CommandChoice(argv=argv, reason="it is a folder, so what it holds is listed")
    return choice


def _first_fit(goal: str) -> CommandChoice:
    named = _named_command(goal)
    if named is not None:
        return CommandChoice(argv=named, reason="the goal names it")
    for phrase in PHRASES:
        match = phrase.pattern.search(goal[:_READ_CHARACTERS])
        if match is not None:
            return CommandChoice(argv=tuple(phrase.argv(match)), reason=phrase.reason)
    return CommandChoice(argv=None, reason="the offline model knows no command for this")


def _named_command(goal: str) -> tuple[str, ...] | None:
    """Return the command of «run `ls -la`» or «run ls -la», split without a shell."""
    match = _NAMED.match(goal)
    if match is None:
        return None
    line = match["line"]
    is_quoted = len(line) > 2 and line[0] == line[-1] and line[0] in "`'\""  # noqa: PLR2004
    try:
        words = shlex.split(line[1:-1] if is_quoted else line)
    except ValueError:
        return None
    return tuple(words) if words and (is_quoted or words[0] in _COMMON) else None


def _is_file(match: re.Match[str]) -> bool:
    asked = match[2].lower().startswith("content")
    return asked and "." in _path(match).rpartition("/")[2]
