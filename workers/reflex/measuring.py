"""What the edge measures about its requests.

| metric | type | labels |
|---|---|---|
| `octollm_reflex_http_requests_total` | counter | method, route, status |
| `octollm_reflex_http_request_seconds` | histogram | method, route |

`route` is the template, never the path, so that ids and probes do not make series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from octoqueue.telemetry.names import PREFIX
from workers.reflex.paths import TASKS_PATH, WORKFLOWS_PATH

if TYPE_CHECKING:
    from starlette.types import Scope

_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_PATHS: Final = frozenset({TASKS_PATH, WORKFLOWS_PATH, "/health", "/metrics", "/openapi.json"})
_ONE_WORKFLOW: Final = f"{WORKFLOWS_PATH}/"
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class RequestMeter:
    """Counts requests in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.answered = 0
        """Requests so far."""
        self._requests = Counter(
            f"{PREFIX}_reflex_http_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}_reflex_http_request_seconds",
            "Time from request to answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """By method, route and status: looking them up by labels is dear."""

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Note one request; status 0 means that it was never answered."""
        self.answered += 1
        template = _template_of(scope["path"])
        series = self._series.get((scope["method"], template, status))
        if series is None:
            series = self._series_of(scope["method"], template, status)
        requests, histogram = series
        requests.inc()
        histogram.observe(seconds)

    def _series_of(self, method: str, template: str, status: int) -> tuple[Counter, Histogram]:
        known = method if method in _METHODS else "other"
        series = (
            self._requests.labels(known, template, status),
            self._seconds.labels(known, template),
        )
        if known == method:  # of the others there is no end
            self._series[method, template, status] = series
        return series

    def render(self) -> bytes:
        """Return what was counted, in Prometheus' text format."""
        return generate_latest(self._registry)


def _template_of(path: str) -> str:
    if path in _PATHS:
        return path
    if path.startswith(_ONE_WORKFLOW):
        return _workflow_template(path)
    below, _, rest = path.removeprefix(f"{TASKS_PATH}/").partition("/")
    is_task = path.startswith(f"{TASKS_PATH}/") and below and not rest
    return f"{TASKS_PATH}/{{task_id}}" if is_task else "unmatched"


def _workflow_template(path: str) -> str:
    one = f"{_ONE_WORKFLOW}{{workflow_id}}"
    above, _, last = path.rpartition("/")
    if last in {"history", "cancel"}:
        return f"{one}/{last}"
    return f"{one}/signals/{{name}}" if above.endswith("/signals") else one
