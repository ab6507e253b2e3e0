"""The judge: says whether a result serves its goal."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import orjson

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import review_from
from workers.forms import Result, Review
from workers.means import means_here
from workers.resources import MODEL, lifespan_of

lifespan = lifespan_of(MODEL)

_TIME_LIMIT: Final = timedelta(seconds=30)


@octoqueue.actor(queue="judge", max_retries=3, time_limit=_TIME_LIMIT)
async def review(goal: str, result: Result, steps: list[Result]) -> Review:
    """Say whether a result serves its goal, and what is to be mended when it does not.

    `steps` are the results it rests on, without their output.
    """
    material = orjson.dumps({**result, "steps": steps}).decode()
    prompt = Prompt(purpose=Purpose.REVIEW, goal=goal, material=material, tier=means_here().tier)
    completion = await MODEL.get().complete(prompt)
    answer = review_from(completion)
    return Review(
        accepted=answer.accepted,
        remark=answer.remark,
        findings=list(answer.findings),
        model=completion.model,
    )
