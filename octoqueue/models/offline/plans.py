"""Which arm works on a goal: the first rule that fits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from octoqueue.models.offline.commands import command_for
from octoqueue.models.replies import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def planned(goal: str, *, choices: Sequence[str]) -> Plan:
    """Return the arm for a goal, out of `choices`; the retriever, or the last choice, at worst."""
    beginning = goal[:_READ_CHARACTERS]
    for rule in RULES:
        if rule.arm in choices and rule.pattern.search(beginning):
            return Plan(arm=rule.arm, reason=rule.reason)
    if "executor" in choices and (command := command_for(goal)).argv:
        return Plan(arm="executor", reason=f"a command does it: {command.reason}")
    arm = "retriever" if "retriever" in choices else choices[-1]
    if LOOK_IT_UP.search(beginning):
        return Plan(arm=arm, reason="it asks a question")
    return Plan(arm=arm, reason="no rule fits, so what is known about it is looked up")
