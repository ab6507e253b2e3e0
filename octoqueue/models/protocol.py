"""`ModelClient`: how an arm asks a model, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Purpose(StrEnum):
    """What an answer is for; it decides the form of the answer (see `replies`)."""

    PLAN = "plan"
    """Which arms should work on the goal, and who waits for whom."""
    COMMAND = "command"
    """Which command does what the goal asks."""
    CODE = "code"
    """A program, and a check of it."""
    ANSWER = "answer"
    """Prose, from the material given."""
    REVIEW = "review"
    """Whether a result serves its goal."""


class Tier(StrEnum):
    """How capable a model is, and so how slow and how expensive."""

    SMALL = "small"
    STANDARD = "standard"
    LARGE = "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question."""

    purpose: Purpose
    goal: str
    """The caller's words; data, never an instruction to the platform."""
    material: str = ""
    """What the answer should rest on: passages to quote, a result to review."""
    choices: tuple[str, ...] = ()
    """What a plan may choose from."""
    findings: tuple[str, ...] = ()
    """What was wrong with the try before this one; empty for the first."""
    tier: Tier = Tier.STANDARD
    """How capable a model should answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer."""

    text: str
    model: str
    """Who really answered."""
    usage: Usage


class ModelClient(Protocol):
    """Answers prompts."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Return an answer. Concurrent calls are fine."""
        ...
