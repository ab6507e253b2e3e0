"""`OfflineModel`: the `ModelClient` protocol on the rules beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from octoqueue.models.offline.answers import answered, reviewed
from octoqueue.models.offline.commands import command_for
from octoqueue.models.offline.plans import planned
from octoqueue.models.offline.recipes import programmed
from octoqueue.models.protocol import Completion, Purpose, Usage

if TYPE_CHECKING:
    from octoqueue.models.protocol import Prompt

MODEL_NAME: Final = "offline-deterministic"


class OfflineModel:
    """Answers by rules; never fails, never waits, never calls anybody."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the answer of the rules. Its tokens are its words."""
        text = _text_for(prompt)
        usage = Usage(
            prompt_tokens=len(prompt.goal.split()) + len(prompt.material.split()),
            completion_tokens=len(text.split()),
        )
        return Completion(text=text, model=MODEL_NAME, usage=usage)


def _text_for(prompt: Prompt) -> str:
    match prompt.purpose:
        case Purpose.PLAN:
            return _json(planned(prompt.goal, choices=prompt.choices, findings=prompt.findings))
        case Purpose.COMMAND:
            return _json(command_for(prompt.goal, findings=prompt.findings))
        case Purpose.CODE:
            return _json(programmed(prompt.goal))
        case Purpose.REVIEW:
            return _json(reviewed(prompt.material))
        case Purpose.ANSWER:
            return answered(prompt.goal, prompt.material)


def _json(reply: object) -> str:
    return orjson.dumps(reply).decode()
