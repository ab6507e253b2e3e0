"""Which programs may be run, with which arguments. Rules only; nothing runs here.

There is no shell: an argument is an argument, whatever characters it holds. Each program has the
short options that only change what it prints; whatever makes one write, follow, execute or read a
list of further files (`find -exec`, `sort -o`, `tail -f`, `uniq IN OUT`, `date -s`) is not among
them. Paths must lie, with links resolved, below a readable root, or be relative and go nowhere up.

The weakness: links are resolved when the rule is checked, not when the program opens the path. What
changes in between is landlock's business.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from workers.sandbox.sandbox import DEFAULT_READABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MAX_ARGUMENTS: Final = 32
MAX_ARGUMENT_CHARACTERS: Final = 4096
_PLACES: Final = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
_NUMBER: Final = r"\d{1,9}"


class Operands(Enum):
    """What the arguments are that are no options."""

    NONE = "none"
    PATHS = "paths"
    PATTERN_AND_PATHS = "a pattern, then paths"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What one program may be told."""

    options: str = r"(?!)"
    """Fullmatch of a whole option."""
    valued: Mapping[str, str] = field(default_factory=dict[str, str])
    """Options followed by a value, and the fullmatch of that value."""
    operands: Operands = Operands.PATHS
    least: int = 0
    most: int = 16
    partial: int | None = None
    """The exit code of an answer with gaps: a file went away, a folder may not be read."""


ALLOWED: Final[Mapping[str, Program]] = MappingProxyType(
    {
        "cat": Program(options=r"-[nbsETA]+", least=1),
        "date": Program(options=r"-u|\+[^\0]{0,200}", operands=Operands.NONE),
        "df": Program(options=r"-[hHkTi]+"),
        "du": Program(options=r"-[shackm]+|--max-depth=\d", valued={"-d": r"\d"}, partial=1),
        "echo": Program(operands=Operands.TEXT, most=MAX_ARGUMENTS),
        "find": Program(
            options=r"-empty",
            valued={
                "-name": r".+",
                "-iname": r".+",
                "-type": r"[fdl]",
                "-maxdepth": r"\d",
                "-mindepth": r"\d",
                "-size": r"[+-]?\d{1,9}[ckMG]?",
                "-mtime": r"[+-]?\d{1,5}",
            },
            least=1,
            partial=1,
        ),
        "grep": Program(
            options=r"-[inclvwxrEFHho]+",
            valued={"-m": _NUMBER},
            operands=Operands.PATTERN_AND_PATHS,
            least=2,
        ),
        "head": Program(options=rf"-{_NUMBER}", valued={"-n": _NUMBER, "-c": _NUMBER}, least=1),
        "id": Program(options=r"-[ugGn]+", operands=Operands.NONE),
        "ls": Program(options=r"-[1aAlhrtSRdFpsi]+", partial=1),
        "nproc": Program(operands=Operands.NONE),
        "pwd": Program(operands=Operands.NONE),
        "sha256sum": Program(least=1),
        "sort": Program(
            options=r"-[nrufbgV]+", valued={"-k": r"\d{1,3}[nr]*(,\d{1,3}[nr]*)?"}, least=1
        ),
        "tail": Program(options=rf"-{_NUMBER}", valued={"-n": _NUMBER, "-c": _NUMBER}, least=1),
        "uname": Program(options=r"-[asnrvmpio]+", operands=Operands.NONE),
        "uniq": Program(options=r"-[cdui]+", least=1, most=1),
        "wc": Program(options=r"-[lwcmL]+", least=1),
    }
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that may be run."""

    program: str
    """Absolute path."""
    arguments: tuple[str, ...]

    def is_partial(self, exit_code: int | None) -> bool:
        """Return whether the exit code says that what it wrote is right, but not all there is."""
        rules = ALLOWED.get(PurePosixPath(self.program).name)
        return exit_code is not None and rules is not None and rules.partial == exit_code

    def __str__(self) -> str:
        """Return it as a person would read it; nothing ever parses this."""
        name = PurePosixPath(self.program).name
        return " ".join((name, *(a if a.isprintable() else repr(a) for a in self.arguments)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command may not be run."""

    reason: str


def installed_programs(places: Iterable[str] = _PLACES) -> dict[str, str]:
    """Return which allowed programs this machine has, by name to absolute path.

    A program counts only where nobody but root could have put it.
    """
    found: dict[str, str] = {}
    for place in places:
        for name in ALLOWED.keys() - found.keys():
            path = f"{place}/{name}"
            if _is_trusted(path):
                found[name] = path
    return found


class CommandRules:
    """The rules, for the programs of this machine and the roots it may read."""

    def __init__(
        self,
        *,
        programs: Mapping[str, str],
        readable: Sequence[str] = DEFAULT_READABLE,
        resolve: Callable[[str], str] = os.path.realpath,
    ) -> None:
        self._programs = dict(programs)
        self._resolve = resolve
        self._roots = tuple(PurePosixPath(resolve(root)) for root in readable)
        self._readable = ", ".join(readable)

    def check(self, argv: Sequence[str]) -> Command | Refusal:
        """Return the command to run for `argv`, or why there is none."""
        if not argv:
            return Refusal("there is no command")
        name, arguments = argv[0], tuple(argv[1:])
        if name not in ALLOWED:
            return Refusal(f"{name!r} is not among the allowed programs: {', '.join(ALLOWED)}")
        if name not in self._programs:
            return Refusal(f"this machine has no {name!r}")
        if len(arguments) > MAX_ARGUMENTS:
            return Refusal(f"{len(arguments)} arguments are too many, {MAX_ARGUMENTS} may be given")
        for argument in arguments:
            if "\0" in argument or len(argument) > MAX_ARGUMENT_CHARACTERS:
                return Refusal("an argument is too long or holds a NUL character")
        problem = self._problem(name, ALLOWED[name], arguments)
        return Refusal(problem) if problem else Command(self._programs[name], arguments)

    def _problem(self, name: str, program: Program, arguments: Sequence[str]) -> str | None:
        if program.operands is Operands.TEXT:
            return None
        operands: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            if argument in program.valued:
                value = next(rest, None)
                if value is None or not re.fullmatch(program.valued[argument], value):
                    return f"{name} {argument} does not take {value!r} here"
            elif re.fullmatch(program.options, argument):
                continue
            elif argument.startswith("-"):
                return f"{name} may not be given {argument!r}"
            else:
                operands.append(argument)
        return self._operand_problem(name, program, operands)

    def _operand_problem(self, name: str, program: Program, operands: list[str]) -> str | None:
        most = 0 if program.operands is Operands.NONE else program.most
        if not program.least <= len(operands) <= most:
            return f"{name} takes {program.least} to {most} operands here, not {len(operands)}"
        paths = operands[1:] if program.operands is Operands.PATTERN_AND_PATHS else operands
        for path in paths:
            if not self._is_readable(path):
                return f"{path!r} is not below a readable folder ({self._readable})"
        return None

    def _is_readable(self, path: str) -> bool:
        pure = PurePosixPath(path)
        if not pure.is_absolute():
            return ".." not in pure.parts
        resolved = PurePosixPath(self._resolve(path))
        return any(resolved.is_relative_to(root) for root in self._roots)


def _is_trusted(path: str) -> bool:
    try:
        found = Path(path).stat()
    except OSError:
        return False
    is_ours = found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return is_ours and stat.S_ISREG(found.st_mode) and os.access(path, os.X_OK)
