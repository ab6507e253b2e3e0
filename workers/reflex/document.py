"""The OpenAPI document: what FastAPI knows of its own routes, and the two plain ones by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from workers.reflex.paths import TASKS_PATH
from workers.reflex.schemas import Refused, TaskAccepted, TaskRequest, TaskState

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{model}"
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the document of the application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, defined = models_json_schema(
            [(TaskRequest, "validation"), (TaskAccepted, "serialization"),
             (TaskState, "serialization"), (Refused, "serialization")],
            ref_template=_REF,
        )  # fmt: skip
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(defined["$defs"])
        document["paths"] |= {
            TASKS_PATH: {"post": _submit()},
            f"{TASKS_PATH}/{{task_id}}": {"get": _show()},
        }
        scrape = document["paths"]["/metrics"]["get"]["responses"]
        scrape["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
        scrape["503"] = _refused("The queues cannot be read.", waits=True)
        app.openapi_schema = document
    return app.openapi_schema


def _submit() -> dict[str, Any]:
    return {
        "operationId": "submit_task",
        "summary": "Submit a task",
        "description": (
            "A task is a workflow: planned, done by several arms, reviewed, mended, resumed where "
            "a crash has stopped it. A task that names its `arm` is one message for that arm: "
            "cheaper and sooner, without any of these. Its goal is screened and secrets in its "
            "result are masked all the same."
        ),
        "tags": ["tasks"],
        "requestBody": {"required": True, "content": _json("TaskRequest")},
        "responses": {
            "202": {
                "description": "Accepted: it will be done.",
                "headers": {
                    "Location": {"description": "Where it is.", "schema": {"type": "string"}}
                },
                "content": _json("TaskAccepted"),
            },
            "408": _refused("The body did not come in time."),
            "413": _refused("The body is too large."),
            "422": _refused("No JSON, or a field is wrong; the field is named."),
            "429": _refused("The lane has no room.", waits=True),
            "503": _refused("A server is gone; nothing is known to be accepted.", waits=True),
        },
    }


def _show() -> dict[str, Any]:
    return {
        "operationId": "show_task",
        "summary": "Show a task",
        "tags": ["tasks"],
        "parameters": [
            {
                "name": "task_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            }
        ],
        "responses": {
            "200": {"description": "How it is.", "content": _json("TaskState")},
            "404": _refused("There is no such task."),
            "503": _refused("A server is gone.", waits=True),
        },
    }


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}


def _refused(description: str, *, waits: bool = False) -> dict[str, Any]:
    answer = {"description": description, "content": _json("Refused")}
    return answer | {"headers": _RETRY_AFTER} if waits else answer
