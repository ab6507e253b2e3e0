"""Workflows over HTTP: seen, signalled, cancelled.

    GET  /api/v1/workflows                      executions, filtered, a page at a time
    GET  /api/v1/workflows/{id}                 one: its state and what it waits for
    GET  /api/v1/workflows/{id}/history         its journal, as a file that can be replayed
    POST /api/v1/workflows/{id}/signals/{name}  the body is the value, JSON
    POST /api/v1/workflows/{id}/cancel          {reason}, or no body

`{id}` is a workflow's (then it means its newest execution) or an execution's. What is accepted is a
row in PostgreSQL; the letter behind it only makes the orchestrator look at once, so a Redis that is
gone delays by seconds and refuses nothing.

The weakness: an id of a workflow that ends as a route does, such as `x/history`, is taken for the
route; its executions have ids of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from octoqueue.lanes.protocol import LaneStore
from octoqueue.primitives.clock import SystemClock
from octoqueue.producer.nudging import nudge
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.exports import execution_document, history_json
from octoqueue.workflows.finding import filter_from, find_execution, find_history
from octoqueue.workflows.journal import Signal
from octoqueue.workflows.protocol import WorkflowStore
from octoqueue.workflows.sights import sight_document, sight_of
from octoqueue.workflows.signals import cancel_for, signal_from_json
from octoqueue.workflows.states import ExecutionStatus
from workers.reflex.bodies import body_of
from workers.reflex.paths import WORKFLOWS_PATH
from workers.reflex.schemas import Refused
from workers.reflex.workflow_schemas import (
    CancelRequest,
    ExecutionPage,
    SignalAccepted,
    WorkflowHistory,
    WorkflowState,
    cancel_request_from,
)

MOST_A_PAGE: Final = 500
CANCEL_LIMIT_BYTES: Final = 16 * 1024
_ONE: Final = f"{WORKFLOWS_PATH}/{{workflow_id:path}}"
_MEDIA_TYPE: Final = "application/json"
_clock: Final = SystemClock()

WorkflowIdPath = Annotated[str, Path(description="Of a workflow, or of one of its executions.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDesk:
    """Where workflows are kept, and their orchestrators told."""

    store: WorkflowStore
    lanes: Callable[[], LaneStore]
    max_value_bytes: int
    """Of a signal."""

    async def send(self, wanted: Execution, signal: Signal) -> Response:
        """Keep a signal and tell the orchestrator.

        Raises:
            WorkflowFinished: the workflow has ended.
            SignalUnknown: it does not take this signal.
        """
        execution = await self.store.signal(wanted.workflow_id, signal)
        await nudge(self.lanes(), execution, now_ms=_clock.now_ms())
        accepted = {
            "workflow_id": execution.workflow_id,
            "execution_id": execution.execution_id,
            "signal_id": signal.signal_id,
        }
        return Response(orjson.dumps(accepted), 202, media_type=_MEDIA_TYPE)


def workflow_router(desk: Callable[[], WorkflowDesk]) -> APIRouter:
    """Return the routes of workflows on the desk that is there when they are called."""
    router = APIRouter(tags=["workflows"], responses=_refusals({503: "A server is gone."}))

    @router.get(
        WORKFLOWS_PATH,
        response_model=ExecutionPage,
        responses=_refusals({422: "A filter is wrong; it is named."}),
    )
    async def list_workflows(  # pyright: ignore[reportUnusedFunction] - the decorator keeps it
        *,
        status: ExecutionStatus | None = None,
        name: Annotated[str | None, Query(description="The workflow function's.")] = None,
        tenant: str | None = None,
        workflow_id: str | None = None,
        before: Annotated[
            str | None, Query(description="Only those older than this execution.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = 100,
    ) -> Response:
        """List executions, newest first."""
        which = filter_from(
            status=status, name=name, tenant=tenant, workflow_id=workflow_id, before=before
        )
        found = await desk().store.executions(which, limit=limit)
        following = found[-1].execution_id if len(found) == limit else None
        return _answer({"executions": list(map(execution_document, found)), "next": following})

    @router.get(
        f"{_ONE}/history",
        response_model=WorkflowHistory,
        responses=_refusals({404: "There is no such workflow."}),
    )
    async def show_history(  # pyright: ignore[reportUnusedFunction] - as above
        workflow_id: WorkflowIdPath,
    ) -> Response:
        """Show all that an execution did."""
        body = history_json(await find_history(desk().store, workflow_id))
        return Response(body, media_type=_MEDIA_TYPE, headers={"cache-control": "no-store"})

    @router.post(
        f"{_ONE}/signals/{{name}}",
        status_code=202,
        response_model=SignalAccepted,
        responses=_refusals({
            404: "There is no such workflow.",
            408: "The body did not come in time.",
            409: "It has ended.",
            413: "The value is too large.",
            422: "It takes no such signal, or the value is wrong.",
        }),
        openapi_extra={"requestBody": _body({"description": "The value, any JSON."})},
    )  # fmt: skip
    async def send_signal(  # pyright: ignore[reportUnusedFunction] - as above
        workflow_id: WorkflowIdPath,
        name: str,
        request: Request,
    ) -> Response:
        """Send a signal to the newest execution of a workflow."""
        at = desk()
        value = await body_of(request.scope, request.receive, limit_bytes=at.max_value_bytes)
        wanted = await find_execution(at.store, workflow_id)
        signal = signal_from_json(
            wanted, name, value, now_ms=_clock.now_ms(), limit_bytes=at.max_value_bytes
        )
        return await at.send(wanted, signal)

    @router.post(
        f"{_ONE}/cancel",
        status_code=202,
        response_model=SignalAccepted,
        responses=_refusals({
            404: "There is no such workflow.",
            408: "The body did not come in time.",
            409: "It has ended.",
            413: "The body is too large.",
            422: "No JSON, or a field is wrong; the field is named.",
        }),
        openapi_extra={"requestBody": _body(CancelRequest.model_json_schema(), required=False)},
    )  # fmt: skip
    async def cancel_workflow(  # pyright: ignore[reportUnusedFunction] - as above
        workflow_id: WorkflowIdPath,
        request: Request,
    ) -> Response:
        """Ask a workflow to end: its running steps are stopped, then its compensations run."""
        at = desk()
        body = await body_of(request.scope, request.receive, limit_bytes=CANCEL_LIMIT_BYTES)
        wish = cancel_request_from(body)
        wanted = await find_execution(at.store, workflow_id)
        return await at.send(wanted, cancel_for(wish.reason, now_ms=_clock.now_ms()))

    @router.get(
        _ONE,
        response_model=WorkflowState,
        responses=_refusals({404: "There is no such workflow."}),
    )
    async def show_workflow(  # pyright: ignore[reportUnusedFunction] - as above
        workflow_id: WorkflowIdPath,
    ) -> Response:
        """Show an execution: its state, what it waits for, who holds it."""
        return _answer(sight_document(await sight_of(desk().store, workflow_id)))

    return router


def _answer(document: dict[str, Any]) -> Response:
    return Response(
        orjson.dumps(document), media_type=_MEDIA_TYPE, headers={"cache-control": "no-store"}
    )


def _refusals(told: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refused, "description": text} for status, text in told.items()}


def _body(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"required": required, "content": {_MEDIA_TYPE: {"schema": schema}}}
