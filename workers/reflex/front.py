"""The two busy routes by hand, whatever else there is by FastAPI.

    POST /api/v1/tasks            ──► submit
    GET  /api/v1/tasks/{task_id}  ──► show
    everything else               ──► the application behind

A framework's route costs more than all else the edge does for a request: matching, a request and a
response object, exception handling in layers. These two are described in `document.py` by hand.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from workers.reflex.paths import TASKS_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from workers.reflex.routes import Answer, Routes

_ONE_TASK: Final = f"{TASKS_PATH}/"


class Front:
    """ASGI application in front of another one."""

    def __init__(self, routes: Callable[[], Routes], behind: ASGIApp) -> None:
        self._routes = routes
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises what keeps a busy route from answering."""
        path = _path_of(scope) if scope["type"] == "http" else ""
        if path == TASKS_PATH:
            _allow(scope, "POST")
            answer = await self._routes().submit(scope, receive)
        elif path.startswith(_ONE_TASK) and _is_segment(task_id := path[len(_ONE_TASK) :]):
            _allow(scope, "GET", "HEAD")
            answer = await self._routes().show(task_id)
        else:
            await self._behind(scope, receive, send)
            return
        await _send(answer, send)


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path


def _is_segment(text: str) -> bool:
    return bool(text) and "/" not in text


def _allow(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": ", ".join(methods)})


async def _send(answer: Answer, send: Send) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
