"""Which arms work on a goal, in which order: the first rule that fits chooses the main one.

a command        do                                     low
a question       answer                                 low
a program        known (retriever) ─┐
                 risks (guardian) ──┴─► program         medium
security         known (retriever) ───► analysis        high
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from octoqueue.models.offline.commands import command_for
from octoqueue.models.replies import Complexity, Plan, PlannedStep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Rule:
    """A goal that matches `pattern` goes to `arm`."""

    arm: str
    pattern: re.Pattern[str]
    reason: str


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})", re.IGNORECASE)


RULES: Final = (
    Rule(
        "guardian",
        _words(
            r"secur\w*|vulnerab\w*|threats?\b|exploit\w*|injection|xss\b|csrf\b|owasp|pii\b"
            r"|personal (data|information)|phishing|malicious|sensitive|leak\w*|credentials?\b"
        ),
        "it asks about security or personal data",
    ),
    Rule(
        "coder",
        _words(
            r"(write|implement|create|develop|build|generate|refactor|fix|code|program)\b.*"
            r"\b(function|class|method|script|program|code|algorithm|module|python|regex|parser"
            r"|decorator|generator|snippet|api)\b"
        ),
        "it asks for a program",
    ),
)
_READ_CHARACTERS: Final = 2_000
"""How much of a goal the rules look at: a gap of any length takes quadratic time at worst."""
LOOK_IT_UP: Final = _words(
    r"(search|find|look up|retrieve|explain|describe|summari[sz]e|define|compare|what|who|when"
    r"|where|why|how|which|tell me)\b"
)


_KNOWN: Final = PlannedStep(id="known", arm="retriever")
_RISKS: Final = PlannedStep(id="risks", arm="guardian")
_BEFORE: Final[Mapping[str, tuple[PlannedStep, ...]]] = MappingProxyType(
    {"coder": (_KNOWN, _RISKS), "guardian": (_KNOWN,)}
)
"""What is done first, at the same time, for the main step of an arm."""
_NAMES: Final = MappingProxyType(
    {"executor": "do", "coder": "program", "guardian": "analysis", "retriever": "answer"}
)
_COMPLEXITIES: Final[Mapping[str, Complexity]] = MappingProxyType(
    {"executor": "low", "retriever": "low", "coder": "medium", "guardian": "high"}
)


def planned(goal: str, *, choices: Sequence[str], findings: Sequence[str] = ()) -> Plan:
    """Return the plan for a goal, of arms out of `choices`.

    Its main arm is the retriever, or the last choice, at worst. A plan made once more is the same
    one; its arms are told the findings, and may know better.
    """
    arm, reason = _main_arm(goal, choices)
    before = tuple(step for step in _BEFORE.get(arm, ()) if step.arm in choices)
    needs = tuple(step.id for step in before)
    main = PlannedStep(id=_NAMES.get(arm, "work"), arm=arm, needs=needs)
    told = f"once more, knowing what was wrong: {reason}" if findings else reason
    return Plan(steps=(*before, main), complexity=_COMPLEXITIES.get(arm, "medium"), reason=told)


def _main_arm(goal: str, choices: Sequence[str]) -> tuple[str, str]:
    beginning = goal[:_READ_CHARACTERS]
    for rule in RULES:
        if rule.arm in choices and rule.pattern.search(beginning):
            return rule.arm, rule.reason
    if "executor" in choices and (command := command_for(goal)).argv:
        return "executor", f"a command does it: {command.reason}"
    arm = "retriever" if "retriever" in choices else choices[-1]
    if LOOK_IT_UP.search(beginning):
        return arm, "it asks a question"
    return arm, "no rule fits, so what is known about it is looked up"
