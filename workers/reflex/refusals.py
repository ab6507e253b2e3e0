"""From what went wrong to what the caller is told. One table; nothing internal leaks.

what                                        status  code
not JSON, wrong or unknown field            422     invalid_request
body over the limit                         413     body_too_large
body that does not come                     408     request_timeout
no such task, malformed id, no such path    404     not_found
wrong method                                405     method_not_allowed
no such workflow                            404     not_found
the workflow has ended                      409     workflow_finished
its workflow takes no such signal           422     signal_unknown
the value of a signal is wrong              422     signal_invalid
the value of a signal is over the limit     413     body_too_large
the lane has no room                        429     lane_full              Retry-After
Redis or PostgreSQL gone, or too slow       503     unavailable            Retry-After
a bug of ours                               500     internal_error
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from octoqueue.errors import (
    EnvelopeTooLarge,
    InputTooLarge,
    InvalidMessage,
    LaneFull,
    NotThere,
    OctoqueueError,
    SignalInvalid,
    SignalUnknown,
    WorkflowFinished,
)

LANE_FULL_RETRY_SECONDS: Final = 1
UNAVAILABLE_RETRY_SECONDS: Final = 2
_HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a caller is told."""

    status: HTTPStatus
    code: str
    message: str
    field: str | None = None
    retry_after_seconds: int | None = None
    allow: str | None = None

    def body(self) -> bytes:
        """Return it as JSON."""
        error = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return orjson.dumps({"error": error})

    def response(self) -> Response:
        """Return it as HTTP."""
        headers: dict[str, str] = {}
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(self.retry_after_seconds)
        if self.allow is not None:
            headers["allow"] = self.allow
        if self.status is HTTPStatus.REQUEST_TIMEOUT:
            headers["connection"] = "close"  # what still comes of it has no reader
        return Response(
            self.body(),
            self.status,
            headers=headers,
            media_type="application/json",
        )


UNAVAILABLE: Final = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="unavailable",
    message="A server behind this one is not answering; try again.",
    retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
)
INTERNAL: Final = Refusal(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    code="internal_error",
    message="Something went wrong here; it has been logged.",
)
NO_SUCH_TASK: Final = Refusal(
    status=HTTPStatus.NOT_FOUND, code="not_found", message="There is no such task."
)


def refusal_from(exc: Exception) -> Refusal | None:
    """Return what a caller is told about `exc`, None when it is a bug of ours."""
    for kind, tell in _TOLD:
        if isinstance(exc, kind):
            return tell(exc)
    is_passing = isinstance(exc, TimeoutError) or (
        isinstance(exc, OctoqueueError) and exc.retryable
    )
    return UNAVAILABLE if is_passing else None


def _invalid(exc: InvalidMessage) -> Refusal:
    return Refusal(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code="invalid_request",
        message=str(exc),
        field=exc.field,
    )


def _too_large(_exc: EnvelopeTooLarge) -> Refusal:
    return _invalid(InvalidMessage("goal", "is too large for a message"))


def _lane_full(exc: LaneFull) -> Refusal:
    return Refusal(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code="lane_full",
        message=f"The {exc.lane} lane has no room: {exc.depth} of {exc.bound} tasks wait in it.",
        retry_after_seconds=LANE_FULL_RETRY_SECONDS,
    )


def _says(
    status: HTTPStatus, code: str, *, field: str | None = None
) -> Callable[[OctoqueueError], Refusal]:
    """Return what tells an error as it is: one that only names what the caller has said."""

    def tell(exc: OctoqueueError) -> Refusal:
        return Refusal(status=status, code=code, message=str(exc), field=field)

    return tell


def _malformed(exc: RequestValidationError) -> Refusal:
    first = exc.errors()[0]
    return _invalid(InvalidMessage(str(first["loc"][-1]), first["msg"]))


def _gone(_exc: ClientDisconnect) -> Refusal:
    return Refusal(
        status=HTTPStatus.BAD_REQUEST, code="disconnected", message="The request was cut short."
    )


def _from_http(exc: HTTPException) -> Refusal:
    status = HTTPStatus(exc.status_code)
    headers = exc.headers or {}
    return Refusal(
        status=status,
        code=_HTTP_CODES.get(status, status.phrase.lower().replace(" ", "_")),
        message=f"{status.phrase}.",
        allow=headers.get("Allow") or headers.get("allow"),
    )


_TOLD: Final[tuple[tuple[type[Exception], Callable[..., Refusal]], ...]] = (
    (InvalidMessage, _invalid),
    (EnvelopeTooLarge, _too_large),
    (LaneFull, _lane_full),
    (NotThere, _says(HTTPStatus.NOT_FOUND, "not_found")),
    (WorkflowFinished, _says(HTTPStatus.CONFLICT, "workflow_finished")),
    (SignalUnknown, _says(HTTPStatus.UNPROCESSABLE_ENTITY, "signal_unknown", field="name")),
    (SignalInvalid, _says(HTTPStatus.UNPROCESSABLE_ENTITY, "signal_invalid", field="body")),
    (InputTooLarge, _says(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", field="body")),
    (RequestValidationError, _malformed),
    (HTTPException, _from_http),
    (ClientDisconnect, _gone),
)
