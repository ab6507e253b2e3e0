"""Everything a caller can do wrong, and everything that can go wrong behind the edge."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import InvalidMessage, LaneFull, StoreUnavailable
from octoqueue.postgres.outbox import OutboxSize
from octoqueue.primitives.lane import Lane
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_tasks import MemoryTaskStore
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.states import Complexity
from octoqueue.workflows.tasks import (
    GOAL_LIMIT_BYTES,
    NewTask,
    Task,
    TaskError,
    TaskId,
    TaskStatus,
    new_task_id,
)
from tests.asgi import serving
from workers.direct import Arm
from workers.reflex import bodies, edge, routes
from workers.reflex.app import Parts, app_on
from workers.reflex.paths import WORKFLOWS_PATH
from workers.reflex.schemas import Priority, TaskState, state_json, task_request_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, MutableMapping

    import httpx

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import QueueStats

TASKS = "/api/v1/tasks"
GONE = StoreUnavailable("PostgreSQL", reason="10.1.2.3 refused user secret")


class Behind:
    """What stands behind the edge in these tests, and what of it is broken."""

    def __init__(self) -> None:
        self.tasks = FragileTasks()
        self.lanes: LaneStore = MemoryLaneStore()
        self.sent: list[NewTask] = []
        self.complexities: list[Complexity | None] = []
        self.sent_to_arms: list[NewTask] = []
        self.enqueue_fails: BaseException | None = None
        self.enqueue_hangs = False
        self.outbox_fails: BaseException | None = None
        self.outbox_hangs = False

    async def measure_outbox(self) -> OutboxSize:
        if self.outbox_hangs:
            await asyncio.Event().wait()
        if self.outbox_fails is not None:
            raise self.outbox_fails
        return OutboxSize(pending=3, failed=2, oldest_seconds=1.5)

    async def accept(self, task: NewTask, *, complexity: Complexity | None = None) -> None:
        if self.enqueue_hangs:
            await asyncio.Event().wait()
        if self.enqueue_fails is not None:
            raise self.enqueue_fails
        await self.tasks.add(task)
        self.sent.append(task)
        self.complexities.append(complexity)

    async def accept_direct(self, task: NewTask) -> None:
        if self.enqueue_fails is not None:
            raise self.enqueue_fails
        await self.tasks.add(task)
        self.sent_to_arms.append(task)

    @asynccontextmanager
    async def parts(self) -> AsyncGenerator[Parts]:
        yield Parts(
            tasks=self.tasks,
            accept=self.accept,
            accept_direct=self.accept_direct,
            lanes=lambda: self.lanes,
            measure_outbox=self.measure_outbox,
            workflows=MemoryWorkflowStore(),
        )


class FragileTasks(MemoryTaskStore):
    fails: BaseException | None = None
    hangs = False

    async def add(self, task: NewTask) -> None:
        await self._perhaps()
        await super().add(task)

    async def get(self, task_id: TaskId) -> Task | None:
        await self._perhaps()
        return await super().get(task_id)

    async def check(self) -> None:
        await self._perhaps()

    async def _perhaps(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails


class GoneLanes(MemoryLaneStore):
    async def stats(self, queue: str) -> QueueStats:
        raise StoreUnavailable("Redis", reason="gone")

    async def queues(self) -> list[str]:
        raise StoreUnavailable("Redis", reason="gone")


class HungLanes(MemoryLaneStore):
    async def queues(self) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
async def client(behind: Behind) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(app_on(behind.parts)) as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """Check the form of a refusal and return its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    error = body["error"]
    assert error.keys() == {"code", "message"} | ({"field"} if field else set())
    assert (error["code"], error.get("field")) == (code, field)
    return str(error["message"])


# ── what works ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("priority", "lane"),
    [("low", Lane.LOW), ("medium", Lane.NORMAL), ("high", Lane.HIGH), (None, Lane.NORMAL)],
)
async def test_a_task_is_accepted_in_the_lane_of_its_priority(
    client: httpx.AsyncClient, behind: Behind, priority: str | None, lane: Lane
) -> None:
    body = {"goal": "List files in /tmp directory"} | ({"priority": priority} if priority else {})
    answer = await client.post(TASKS, json=body)
    assert answer.status_code == 202
    task_id = answer.json()["task_id"]
    assert answer.headers["location"] == f"{TASKS}/{task_id}"
    assert behind.sent == [NewTask(task_id=task_id, goal=body["goal"], lane=lane)]


@pytest.mark.parametrize("complexity", [None, *Complexity])
async def test_a_task_is_as_complex_as_its_caller_says(
    client: httpx.AsyncClient, behind: Behind, complexity: Complexity | None
) -> None:
    body = {"goal": "g"} | ({} if complexity is None else {"complexity": complexity})
    assert (await client.post(TASKS, json=body)).status_code == 202
    assert behind.complexities == [complexity]


async def test_a_complexity_nobody_knows_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(TASKS, json={"goal": "g", "complexity": "enormous"})
    assert "low" in refused(answer, 422, "invalid_request", "complexity")


@pytest.mark.parametrize("arm", [*Arm])
async def test_a_task_that_names_its_arm_is_no_workflow(
    client: httpx.AsyncClient, behind: Behind, arm: Arm
) -> None:
    body = {"goal": "g", "priority": "high", "arm": arm}
    answer = await client.post(TASKS, json=body)
    assert answer.status_code == 202
    task_id = answer.json()["task_id"]
    assert behind.sent == []
    assert behind.sent_to_arms == [NewTask(task_id=task_id, goal="g", lane=Lane.HIGH, arm=arm)]


@pytest.mark.parametrize("arm", ["planner", "judge", "", "nobody", 3])
async def test_an_arm_that_does_no_tasks_by_itself_is_refused(
    client: httpx.AsyncClient, arm: object
) -> None:
    answer = await client.post(TASKS, json={"goal": "g", "arm": arm})
    assert "executor" in refused(answer, 422, "invalid_request", "arm")


async def test_complexity_is_for_tasks_that_are_planned(client: httpx.AsyncClient) -> None:
    answer = await client.post(TASKS, json={"arm": "coder", "complexity": "low", "goal": "g"})
    assert "complexity" in refused(answer, 422, "invalid_request", "arm")


async def test_a_full_lane_of_an_arm_is_429(client: httpx.AsyncClient, behind: Behind) -> None:
    behind.enqueue_fails = LaneFull("coder", "normal", depth=5, bound=5)
    answer = await client.post(TASKS, json={"goal": "g", "arm": "coder"})
    refused(answer, 429, "lane_full")


async def test_a_task_is_shown_from_queued_to_completed(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    posted = await client.post(TASKS, json={"goal": "g ☃", "priority": "high"})
    where = posted.headers["location"]
    task_id = posted.json()["task_id"]
    queued = (await client.get(where)).json()
    assert (queued["status"], queued["priority"], queued["goal"]) == ("queued", "high", "g ☃")
    assert queued["timings"]["queued_seconds"] is None

    await behind.tasks.start(task_id, arm="coder")
    assert (await client.get(where)).json()["status"] == "running"
    await behind.tasks.complete(task_id, result={"summary": "s"}, attempts=1)
    answer = await client.get(where)
    done = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (done["status"], done["arm"], done["result"]) == ("completed", "coder", {"summary": "s"})
    assert done["error"] is None
    assert done["timings"].keys() == {
        "created_at", "started_at", "finished_at", "queued_seconds", "run_seconds", "total_seconds",
    }  # fmt: skip
    assert done["timings"]["total_seconds"] >= 0


async def test_a_failed_task_shows_its_error(client: httpx.AsyncClient, behind: Behind) -> None:
    posted = await client.post(TASKS, json={"goal": "g"})
    error = TaskError(code="no_command", message="None fits.")
    await behind.tasks.fail(posted.json()["task_id"], error=error, attempts=1)
    failed = (await client.get(posted.headers["location"])).json()
    assert (failed["status"], failed["error"]) == ("failed", error.as_json())


async def test_the_longest_goal_fits_however_its_json_is_written(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    escaped = b'{"goal": "' + b"\\u0041" * GOAL_LIMIT_BYTES + b'"}'
    assert (await client.post(TASKS, content=escaped)).status_code == 202
    assert behind.sent[0].goal == "A" * GOAL_LIMIT_BYTES


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"", "body", id="nothing"),
        pytest.param(b"{", "body", id="malformed"),
        pytest.param(b"goal=x", "body", id="a form"),
        pytest.param(b"\xff\xfe", "body", id="no UTF-8"),
        pytest.param(b"[]", "body", id="a list"),
        pytest.param(b"null", "body", id="null"),
        pytest.param(b'"goal"', "body", id="text"),
        pytest.param(b'{"goal": "x"} {}', "body", id="two objects"),
        pytest.param(b"[" * 5000, "body", id="very deep"),
        pytest.param(b"{}", "goal", id="no goal"),
        pytest.param(b'{"goal": null}', "goal", id="goal null"),
        pytest.param(b'{"goal": 7}', "goal", id="goal a number"),
        pytest.param(b'{"goal": ["x"]}', "goal", id="goal a list"),
        pytest.param(b'{"goal": ""}', "goal", id="goal empty"),
        pytest.param(b'{"goal": " \\n\\t "}', "goal", id="goal blank"),
        pytest.param(b'{"goal": "a\\u0000b"}', "goal", id="goal with NUL"),
        pytest.param(b'{"goal": "\\ud800"}', "body", id="half a character"),
        pytest.param(
            orjson.dumps({"goal": "x" * (GOAL_LIMIT_BYTES + 1)}), "goal", id="goal over-long"
        ),
        pytest.param(
            orjson.dumps({"goal": "é" * (GOAL_LIMIT_BYTES // 2 + 1)}), "goal", id="bytes over-long"
        ),
        pytest.param(b'{"goal": "x", "priority": "urgent"}', "priority", id="unknown priority"),
        pytest.param(b'{"goal": "x", "priority": "HIGH"}', "priority", id="shouted priority"),
        pytest.param(b'{"goal": "x", "priority": null}', "priority", id="priority null"),
        pytest.param(b'{"goal": "x", "priority": 1}', "priority", id="priority a number"),
        pytest.param(b'{"goal": "x", "lane": "high"}', "lane", id="unknown field"),
    ],
)
async def test_a_bad_request_is_refused_with_the_field_named_and_nothing_is_kept(
    client: httpx.AsyncClient, behind: Behind, body: bytes, field: str
) -> None:
    message = refused(await client.post(TASKS, content=body), 422, "invalid_request", field)
    assert message.startswith(f"{field}: ")
    assert behind.sent == []


@given(body=st.binary(max_size=200) | st.from_regex(rb'\{"goal": .{0,20}\}', fullmatch=True))
def test_any_bytes_become_a_task_or_a_named_field(body: bytes) -> None:
    try:
        request = task_request_from(body)
    except InvalidMessage as exc:
        field = exc.field
    else:
        NewTask(task_id=new_task_id(), goal=request.goal, lane=request.priority.lane)
        field = "none at fault"
    assert field


async def test_a_body_over_the_limit_is_refused_before_it_is_read(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    read = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65536

    refused(await client.post(TASKS, content=endless()), 413, "body_too_large")
    declared = {"content-length": str(routes.BODY_LIMIT_BYTES + 1)}
    refused(await client.post(TASKS, content=b"", headers=declared), 413, "body_too_large")
    assert read < 10
    assert behind.sent == []


@pytest.mark.parametrize(
    "task_id",
    ["nothing", "0", "01a1ff48-7895-77a2-8763-8ebf42609cdc", "'; drop table tasks", "%00", "é"],
)
async def test_an_unknown_or_malformed_task_id_is_not_found(
    client: httpx.AsyncClient, task_id: str
) -> None:
    refused(await client.get(f"{TASKS}/{task_id}"), 404, "not_found")


MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.just(datetime(2026, 1, 2, tzinfo=UTC))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('aé"\\ \x7f☃'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab é"), inner),
)


@given(
    status=st.sampled_from(TaskStatus),
    lane=st.sampled_from(Lane),
    goal=st.text('aé"\\\n☃', min_size=1),
    outcome=st.none() | st.dictionaries(st.text("ab"), JSON),
    moments=st.tuples(MOMENTS, st.none() | MOMENTS, st.none() | MOMENTS),
)
def test_a_state_written_by_hand_is_the_documented_one(
    status: TaskStatus,
    lane: Lane,
    goal: str,
    outcome: dict[str, Any] | None,
    moments: tuple[datetime, datetime | None, datetime | None],
) -> None:
    created_at, started_at, finished_at = moments
    task = Task(
        task_id=new_task_id(),
        goal=goal,
        lane=lane,
        status=status,
        arm=None,
        result=outcome,
        error=outcome,
        attempts=1,
        created_at=created_at,
        started_at=started_at,
        finished_at=finished_at,
    )
    written = state_json(task)
    state = TaskState.model_validate_json(written)
    assert orjson.loads(state.model_dump_json()) == orjson.loads(written)
    assert (state.status, state.priority.lane, state.goal) == (status, lane, goal)
    assert (state.result, state.timings.created_at) == (outcome, created_at)
    if finished_at is not None:
        assert state.timings.total_seconds == (finished_at - created_at).total_seconds()


async def test_methods_without_end_make_no_series(client: httpx.AsyncClient) -> None:
    for method in ("BREW", "STIR", "HEAD"):
        await client.request(method, TASKS)
    counted = (await client.get("/metrics")).text
    assert f'{{method="other",route="{TASKS}",status="405"}} 2.0' in counted
    assert f'{{method="HEAD",route="{TASKS}",status="405"}} 1.0' in counted


async def test_a_caller_who_leaves_before_the_body_is_whole_submits_nothing(
    behind: Behind,
) -> None:
    app = app_on(behind.parts)
    heard: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"goal": ', "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return heard.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    async with serving(app):
        scope = {"type": "http", "method": "POST", "path": TASKS, "headers": []}
        await app(scope, receive, send)
    assert answers[0]["status"] == 400
    assert behind.sent == []


async def test_a_caller_who_does_not_send_the_body_is_told_so_and_not_that_a_server_is_gone(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", timedelta(seconds=0.05))
    app = app_on(behind.parts)
    heard: list[dict[str, Any]] = [{"type": "http.request", "body": b"{", "more_body": True}]
    answers: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not heard:
            await asyncio.Event().wait()
        return heard.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    async with serving(app):
        scope = {"type": "http", "method": "POST", "path": TASKS, "headers": []}
        await app(scope, receive, send)
    assert answers[0]["status"] == 408
    assert (b"connection", b"close") in answers[0]["headers"]
    assert orjson.loads(answers[1]["body"])["error"]["code"] == "request_timeout"
    assert behind.sent == []


async def test_ids_of_another_spelling_name_no_task(client: httpx.AsyncClient) -> None:
    task_id = (await client.post(TASKS, json={"goal": "g"})).json()["task_id"]
    for other in (task_id.upper(), task_id.replace("-", ""), f"{{{task_id}}}"):
        refused(await client.get(f"{TASKS}/{other}"), 404, "not_found")


async def test_unknown_paths_and_wrong_methods_have_the_same_form(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/", "/api/v1/nothing", f"{TASKS}/", "/docs", "/admin"):
        refused(await client.get(path), 404, "not_found")
    for method, path, allow in (("GET", TASKS, "POST"), ("DELETE", f"{TASKS}/x", "GET")):
        answer = await client.request(method, path)
        refused(answer, 405, "method_not_allowed")
        assert allow in answer.headers["allow"]


# ── trouble behind ───────────────────────────────────────────────────────────────────────────────


async def test_a_full_lane_is_429_and_leaves_no_task_behind(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    behind.enqueue_fails = LaneFull("planner", "high", depth=100, bound=100)
    answer = await client.post(TASKS, json={"goal": "g", "priority": "high"})
    assert "high lane" in refused(answer, 429, "lane_full")
    assert int(answer.headers["retry-after"]) >= 1
    assert behind.tasks._rows == {}


async def test_a_gone_redis_is_503_and_leaves_no_task_behind(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    behind.enqueue_fails = StoreUnavailable("Redis", reason="gone")
    answer = await client.post(TASKS, json={"goal": "g"})
    refused(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert behind.tasks._rows == {}
    behind.enqueue_fails = None
    assert (await client.post(TASKS, json={"goal": "g"})).status_code == 202


async def test_a_gone_postgres_is_503_for_both_and_nothing_is_enqueued(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    posted = await client.post(TASKS, json={"goal": "g"})
    behind.tasks.fails = GONE
    for answer in (
        await client.post(TASKS, json={"goal": "g"}),
        await client.get(posted.headers["location"]),
    ):
        assert "10.1.2.3" not in refused(answer, 503, "unavailable")
        assert "retry-after" in answer.headers
    assert len(behind.sent) == 1
    behind.tasks.fails = None
    assert (await client.get(posted.headers["location"])).status_code == 200


async def test_a_server_that_hangs_is_503_in_the_time_set(
    client: httpx.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "SUBMIT_TIMEOUT", timedelta(seconds=0.05))
    behind.enqueue_hangs = True
    refused(await client.post(TASKS, json={"goal": "g"}), 503, "unavailable")
    assert behind.tasks._rows == {}


async def test_no_request_outlives_the_edge_s_own_limit(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(behind.parts)
    monkeypatch.setattr(app, "_timeout_seconds", 0.05)
    behind.tasks.hangs = True
    async with serving(app) as client:
        refused(await client.get(f"{TASKS}/{new_task_id()}"), 503, "unavailable")
    assert edge.REQUEST_TIMEOUT.total_seconds() == 30


async def test_a_bug_shows_no_stack_trace_and_is_logged(
    client: httpx.AsyncClient, behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    behind.tasks.fails = ZeroDivisionError("secret detail")
    for answer in (
        await client.post(TASKS, json={"goal": "g"}),
        await client.get(f"{TASKS}/{new_task_id()}"),
    ):
        refused(answer, 500, "internal_error")
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
    assert "secret detail" in caplog.text


# ── health, metrics, document ────────────────────────────────────────────────────────────────────


async def test_health_names_the_part_that_does_not_answer(
    client: httpx.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = await client.get("/health")
    assert (fine.status_code, fine.json()["status"]) == (200, "ok")
    assert {name: part["status"] for name, part in fine.json()["parts"].items()} == {
        "redis": "ok",
        "postgres": "ok",
    }
    monkeypatch.setattr(routes, "HEALTH_TIMEOUT", timedelta(seconds=0.05))
    behind.tasks.hangs = True
    ill = await client.get("/health")
    assert (ill.status_code, ill.json()["parts"]["postgres"]["status"]) == (503, "unavailable")
    assert ill.json()["parts"]["redis"]["status"] == "ok"
    behind.tasks.hangs, behind.lanes = False, GoneLanes()
    ill = await client.get("/health")
    assert (ill.status_code, ill.json()["parts"]["redis"]["status"]) == (503, "unavailable")


async def test_metrics_count_requests_by_route_and_never_by_path(
    client: httpx.AsyncClient,
) -> None:
    task_id = (await client.post(TASKS, json={"goal": "g"})).json()["task_id"]
    await client.get(f"{TASKS}/{task_id}")
    await client.get("/somewhere/else")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    assert (
        f'octollm_reflex_http_requests_total{{method="POST",route="{TASKS}",status="202"}} 1.0'
        in text
    )
    assert f'route="{TASKS}/{{task_id}}",status="200"' in text
    assert 'route="unmatched",status="404"' in text
    assert "octollm_reflex_http_request_seconds_bucket" in text
    assert "octollm_planner_queue_depth 0.0" in text
    assert task_id not in text


async def test_unreadable_counters_fail_the_scrape_instead_of_reading_zero(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    behind.lanes = GoneLanes()
    refused(await client.get("/metrics"), 503, "unavailable")


async def test_a_scrape_of_a_redis_that_hangs_fails_in_the_time_set(
    client: httpx.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "METRICS_TIMEOUT", timedelta(seconds=0.05))
    behind.lanes = HungLanes()
    refused(await client.get("/metrics"), 503, "unavailable")


async def test_the_outbox_is_measured_and_its_database_gone_hides_no_queue(
    client: httpx.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (await client.get("/metrics")).text
    assert "octollm_outbox_messages_pending 3.0" in text
    assert "octollm_outbox_messages_failed 2.0" in text
    assert "octollm_outbox_oldest_age_seconds 1.5" in text
    monkeypatch.setattr(routes, "METRICS_TIMEOUT", timedelta(seconds=0.2))
    for behind.outbox_fails, behind.outbox_hangs in ((GONE, False), (None, True)):
        text = (await client.get("/metrics")).text
        assert "octollm_planner_queue_depth 0.0" in text
        assert "octollm_outbox" not in text


async def test_the_document_describes_every_route_and_every_refusal(
    client: httpx.AsyncClient,
) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    one = f"{WORKFLOWS_PATH}/{{workflow_id}}"
    assert document["paths"].keys() == {
        TASKS, f"{TASKS}/{{task_id}}", "/health", "/metrics",
        WORKFLOWS_PATH, one, f"{one}/history", f"{one}/signals/{{name}}", f"{one}/cancel",
    }  # fmt: skip
    assert document["paths"][f"{one}/signals/{{name}}"]["post"]["responses"].keys() == {
        "202", "404", "408", "409", "413", "422", "503",
    }  # fmt: skip
    assert document["paths"][TASKS]["post"]["responses"].keys() == {
        "202", "408", "413", "422", "429", "503",
    }  # fmt: skip
    assert document["paths"]["/metrics"]["get"]["responses"].keys() == {"200", "503"}
    schemas = document["components"]["schemas"]
    assert schemas["TaskRequest"]["required"] == ["goal"]
    assert schemas["TaskRequest"]["additionalProperties"] is False
    assert schemas["Priority"]["enum"] == [each.value for each in Priority]
    text = (await client.get("/openapi.json")).text
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names <= schemas.keys()
