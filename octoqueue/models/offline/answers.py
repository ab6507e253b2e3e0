"""Prose from material, and reviews from checks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from octoqueue.models.replies import Review

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_WORD = re.compile(r"\w{3,}")
_QUOTED: Final = 3


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    checks: tuple[_Check, ...] = ()


@dataclass(frozen=True, slots=True)
class _Checked:
    checks: tuple[_Check, ...] = ()
    steps: tuple[_Step, ...] = ()


_CHECKED = TypeAdapter(_Checked)


def answered(goal: str, material: str) -> str:
    """Return the sentences of the material that share most words with the goal, in their order."""
    wanted = set(_WORD.findall(goal.lower()))
    sentences = [text for match in _SENTENCE.finditer(material) if (text := match[0].strip())]
    scores = [len(wanted & set(_WORD.findall(sentence.lower()))) for sentence in sentences]
    ranked = sorted(range(len(sentences)), key=lambda at: (-scores[at], at))
    chosen = sorted(at for at in ranked[:_QUOTED] if scores[at])
    if not chosen:
        return "Nothing in the material given speaks about this."
    return " ".join(sentences[at] for at in chosen)


def reviewed(material: str) -> Review:
    """Return the review of a result: accepted when each of its checks passed.

    `material` is the result as JSON; its `checks` are objects of `name`, `passed` and `detail`. So
    are those of the `steps` it rests on.
    """
    result = _CHECKED.validate_json(material)
    checks = [*(check for step in result.steps for check in step.checks), *result.checks]
    findings = tuple(f"{check.name}: {check.detail}" for check in checks if not check.passed)
    if findings:
        told = "; ".join(findings)
        remark = f"{len(findings)} of {len(checks)} checks failed: {told}"
        return Review(accepted=False, remark=remark, findings=findings)
    if not checks:
        return Review(accepted=True, remark="There was nothing to check.")
    names = ", ".join(check.name for check in checks)
    return Review(accepted=True, remark=f"All checks passed: {names}.")
