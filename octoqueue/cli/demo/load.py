"""Tasks in over HTTP, results out over HTTP.

A task that is refused because its lane is full is offered again when the answer says so. Results
are asked for oldest first; who finds one unfinished pauses, so that asking does not compete with
the work that is asked about.

The weakness: how long a task took is what the server says; what the way there and back took is not
in it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final

import httpx

from octoqueue.cli.demo.goals import Goal
from octoqueue.cli.demo.tally import Done, Tally, done_from
from octoqueue.errors import ProcessError
from octoqueue.primitives.clock import Clock

TASKS: Final = "/api/v1/tasks"
FINAL: Final = frozenset({"completed", "failed"})

_SUBMITTERS: Final = 8
_FOLLOWERS: Final = 8
_PAUSE_SECONDS: Final = 0.05
_HTTP_TIMEOUT_SECONDS: Final = 30
_PATIENCE_SECONDS: Final = 60
"""How long nothing may finish before it is said that nothing will."""


class DemoFailed(ProcessError):
    """The demonstration cannot go on."""


class Load:
    """Submits goals and follows them to their end."""

    def __init__(self, goals: Sequence[Goal], *, clock: Clock) -> None:
        self.tally = Tally(wanted=len(goals))
        self._goals = deque(goals)
        self._pending: deque[tuple[str, Goal]] = deque()
        self._clock = clock
        self._last_news = clock.monotonic()

    async def run(self, url: str) -> None:
        """Return when every task put in at `url` has come to its end.

        Raises:
            DemoFailed: the application answers what it should not, or nothing happens any more.
        """
        self._last_news = self._clock.monotonic()
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else the log is a line a request
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each client reads all certificates
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for work in [self._submit] * _SUBMITTERS + [self._follow] * _FOLLOWERS:
                    # A client each: a pool shared by many takes longer to search than to use.
                    client = httpx.AsyncClient(
                        base_url=url, timeout=_HTTP_TIMEOUT_SECONDS, trust_env=False, verify=no_tls
                    )
                    group.create_task(work(await stack.enter_async_context(client)))
        except ExceptionGroup as failures:
            error = failures.exceptions[0]
            if isinstance(error, httpx.HTTPError):
                raise DemoFailed(f"HTTP: {type(error).__name__}: {error}") from error
            raise error from None

    async def _submit(self, client: httpx.AsyncClient) -> None:
        while self._goals:
            goal = self._goals.popleft()
            body = {"goal": goal.text, "priority": goal.priority}
            answer = await client.post(TASKS, json=body)
            while answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self.tally.refused += 1
                await self._clock.sleep(float(answer.headers.get("Retry-After", "1")))
                answer = await client.post(TASKS, json=body)
            if answer.status_code != HTTPStatus.ACCEPTED:
                raise DemoFailed(f"POST {TASKS} was answered {_told(answer)}")
            self.tally.accepted += 1
            self._pending.append((answer.json()["task_id"], goal))

    async def _follow(self, client: httpx.AsyncClient) -> None:
        while len(self.tally.done) < self.tally.wanted:
            if self._pending:
                task_id, goal = self._pending.popleft()
                done = await self._look(client, task_id, goal)
                if done is not None:
                    self.tally.done.append(done)
                    self._last_news = self._clock.monotonic()
                    continue
                self._pending.append((task_id, goal))
            if self._clock.monotonic() - self._last_news > _PATIENCE_SECONDS:
                raise DemoFailed(
                    f"nothing has finished for {_PATIENCE_SECONDS} s, and "
                    f"{self.tally.wanted - len(self.tally.done)} tasks are still to be done"
                )
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _look(self, client: httpx.AsyncClient, task_id: str, goal: Goal) -> Done | None:
        answer = await client.get(f"{TASKS}/{task_id}")
        if answer.status_code != HTTPStatus.OK:
            raise DemoFailed(f"GET {TASKS}/{task_id} was answered {_told(answer)}")
        state = answer.json()
        return done_from(state, goal) if state["status"] in FINAL else None


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:300]}".strip()
