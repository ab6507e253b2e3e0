"""Workflows over HTTP: what callers see, what is kept for them, and what is refused how."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.postgres.outbox import OutboxSize
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_tasks import MemoryTaskStore
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.definitions import DEFINITIONS, define
from octoqueue.workflows.executions import Parent, WorkflowId
from octoqueue.workflows.exports import history_from
from octoqueue.workflows.letters import Nudge, letter_from, queue_of
from octoqueue.workflows.states import SignalKind, StepKind
from tests.asgi import serving
from tests.contract.workflow_values import (
    Holder,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    fails,
    turn,
)
from workers.reflex.app import Parts, app_on
from workers.reflex.workflow_schemas import (
    ExecutionPage,
    SignalAccepted,
    WorkflowHistory,
    WorkflowState,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import httpx

    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue, SessionId
    from octoqueue.workflows.executions import Execution, NewExecution
    from octoqueue.workflows.journal import Signal, Turn
    from octoqueue.workflows.protocol import Filter
    from octoqueue.workflows.states import Complexity
    from octoqueue.workflows.tasks import NewTask

WORKFLOWS = "/api/v1/workflows"
LIMIT_BYTES = 64


class Behind:
    """What stands behind the edge."""

    def __init__(self) -> None:
        self.store = FragileStore()
        self.lanes: LaneStore = MemoryLaneStore()

    @asynccontextmanager
    async def parts(self) -> AsyncGenerator[Parts]:
        async def accept(task: NewTask, *, complexity: Complexity | None = None) -> None:
            raise AssertionError(task, complexity)

        async def measure_outbox() -> OutboxSize:
            return OutboxSize(pending=0, failed=0, oldest_seconds=0)

        yield Parts(
            tasks=MemoryTaskStore(),
            accept=accept,
            accept_direct=accept,
            lanes=lambda: self.lanes,
            measure_outbox=measure_outbox,
            workflows=self.store,
            max_value_bytes=LIMIT_BYTES,
        )

    async def start(self, workflow_id: str, **fields: Any) -> NewExecution:  # noqa: ANN401
        new = a_workflow(workflow_id, **fields)
        await self.store.start(new)
        return new

    async def write(self, *turns: Turn) -> None:
        holder = await Holder.of(self.store, lease=timedelta(seconds=60))
        await holder.wrote(*turns)

    async def letters(self, of: NewExecution) -> list[object]:
        session: SessionId = text_from_id(new_message_id())  # type: ignore[assignment]
        claimed = await self.lanes.claim(session, [queue_of(of.partition)], limit=10)
        return [letter_from(lease.payload) for lease in claimed]

    async def signals(self, of: NewExecution) -> list[tuple[SignalKind, str, bytes]]:
        loaded = await self.store.history(of.execution_id)
        assert loaded is not None
        return [(each.kind, each.name, each.value) for each in loaded.signals]


class FragileStore(MemoryWorkflowStore):
    is_gone = False

    async def executions(self, which: Filter, *, limit: int = 100) -> list[Execution]:
        self._perhaps()
        return await super().executions(which, limit=limit)

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        self._perhaps()
        return await super().newest(workflow_id)

    async def signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        self._perhaps()
        return await super().signal(workflow_id, signal)

    def _perhaps(self) -> None:
        if self.is_gone:
            raise StoreUnavailable("PostgreSQL", reason="10.1.2.3 refused user secret")


class GoneLanes(MemoryLaneStore):
    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[EnqueueAnswer]:
        raise StoreUnavailable("Redis", reason=f"gone, {len(groups)} not sent")


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
    error = answer.json()["error"]
    assert (error["code"], error.get("field")) == (code, field)
    return str(error["message"])


# ── seeing ───────────────────────────────────────────────────────────────────────────────────────


async def test_executions_are_listed_newest_first_a_page_at_a_time(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    for number in range(3):
        await behind.start(f"order-{number}")
    first = (await client.get(WORKFLOWS, params={"limit": 2})).json()
    ExecutionPage.model_validate(first)
    assert [each["workflow_id"] for each in first["executions"]] == ["order-2", "order-1"]
    rest = (await client.get(WORKFLOWS, params={"limit": 2, "before": first["next"]})).json()
    assert [each["workflow_id"] for each in rest["executions"]] == ["order-0"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "failed"), ("name", "ship"), ("tenant", "acme"), ("workflow_id", "order-1")],
)
async def test_executions_are_filtered(
    client: httpx.AsyncClient, behind: Behind, name: str, value: str
) -> None:
    await behind.start("order-0")
    wanted = await behind.start("order-1", name="ship", tenant="acme")
    await behind.write(fails(wanted))
    (found,) = (await client.get(WORKFLOWS, params={name: value})).json()["executions"]
    assert found["execution_id"] == wanted.execution_id
    assert found["error"] == {"error": "Oops"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "done"),
        ("name", "a\0b"),
        ("tenant", ""),
        ("workflow_id", "\n"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "x"),
        ("before", "order-1"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused_with_its_name(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    refused(await client.get(WORKFLOWS, params={name: value}), 422, "invalid_request", name)


async def test_one_is_shown_with_what_it_waits_for_and_who_holds_it(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    new = await behind.start("order-1")
    wait = a_step("1", StepKind.SIGNAL, name="approve", input=None)
    await behind.write(begins(new, wait))
    for ident in (new.workflow_id, new.execution_id):
        answer = await client.get(f"{WORKFLOWS}/{ident}")
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        WorkflowState.model_validate(told)
        assert (told["status"], told["input"]) == ("running", {"n": 1})
        assert [(each["step"], each["for"]) for each in told["waits"]] == [("1", "signal approve")]
        assert told["held_by"]["host"] == "here"


async def test_a_child_is_reached_by_its_id_with_a_slash(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    parent = await behind.start("order-1")
    child = await behind.start(
        "order-1/3", parent=Parent(execution_id=parent.execution_id, step="3")
    )
    for path in ("order-1/3", "order-1%2F3"):
        told = (await client.get(f"{WORKFLOWS}/{path}")).json()
        assert told["execution_id"] == child.execution_id
    history = (await client.get(f"{WORKFLOWS}/order-1/3/history")).json()
    assert history["execution"]["workflow_id"] == "order-1/3"


async def test_a_history_is_a_file_that_can_be_replayed(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    new = await behind.start("order-1")
    step = a_step("1")
    await behind.write(begins(new, step), turn(new, ended(step, 1)))
    answer = await client.get(f"{WORKFLOWS}/order-1/history")
    WorkflowHistory.model_validate(answer.json())
    assert history_from(answer.content) == await behind.store.history(new.execution_id)


UNKNOWN = ["nothing", "01a1ff48-7895-77a2-8763-8ebf42609cdc", "'; drop table", "%00", "é", "a/b"]


@pytest.mark.parametrize("ident", UNKNOWN)
@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("GET", "/history"), ("POST", "/signals/go"), ("POST", "/cancel")],
    ids=["show", "history", "signal", "cancel"],
)
async def test_what_is_not_kept_is_not_found(
    client: httpx.AsyncClient, ident: str, method: str, rest: str
) -> None:
    body = b"1" if rest.startswith("/signals") else b""
    answer = await client.request(method, f"{WORKFLOWS}/{ident}{rest}", content=body)
    refused(answer, 404, "not_found")


# ── steering ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_signal_is_kept_and_the_orchestrator_told(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    new = await behind.start("order-1", signals=("approve",))
    answer = await client.post(f"{WORKFLOWS}/order-1/signals/approve", json={"by": "ada"})
    assert answer.status_code == 202
    accepted = SignalAccepted.model_validate(answer.json())
    assert (accepted.workflow_id, accepted.execution_id) == ("order-1", new.execution_id)
    assert await behind.signals(new) == [(SignalKind.SENT, "approve", b'{"by":"ada"}')]
    assert await behind.letters(new) == [Nudge(new.execution_id)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", ""), (b"{}", ""), (b'{"reason": "too late"}', "too late")],
    ids=["no body", "no reason", "a reason"],
)
async def test_a_cancel_is_kept_with_its_reason(
    client: httpx.AsyncClient, behind: Behind, body: bytes, reason: str
) -> None:
    new = await behind.start("order-1")
    answer = await client.post(f"{WORKFLOWS}/{new.execution_id}/cancel", content=body)
    assert answer.status_code == 202
    assert await behind.signals(new) == [(SignalKind.CANCEL, "", orjson.dumps(reason))]
    assert await behind.letters(new) == [Nudge(new.execution_id)]


async def test_a_redis_that_is_gone_refuses_nothing(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    behind.lanes = GoneLanes()
    new = await behind.start("order-1")
    assert (await client.post(f"{WORKFLOWS}/order-1/signals/go", json=1)).status_code == 202
    assert len(await behind.signals(new)) == 1


async def test_one_that_has_ended_takes_nothing(client: httpx.AsyncClient, behind: Behind) -> None:
    new = await behind.start("order-1")
    await behind.write(begins(new), completes(new))
    for rest in ("signals/go", "cancel"):
        answer = await client.post(f"{WORKFLOWS}/order-1/{rest}", json={})
        assert new.execution_id in refused(answer, 409, "workflow_finished")


async def test_a_signal_that_is_not_declared_is_refused(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    new = await behind.start("order-1", signals=("approve",))
    answer = await client.post(f"{WORKFLOWS}/order-1/signals/aprove", json=1)
    assert "approve" in refused(answer, 422, "signal_unknown", "name")
    assert await behind.signals(new) == []


@pytest.mark.parametrize("body", [b"", b"{", b"yes", b"\xff"], ids=repr)
async def test_a_value_that_is_no_json_is_refused(
    client: httpx.AsyncClient, behind: Behind, body: bytes
) -> None:
    new = await behind.start("order-1")
    answer = await client.post(f"{WORKFLOWS}/order-1/signals/go", content=body)
    assert "order-1" in refused(answer, 422, "signal_invalid", "body")
    assert await behind.signals(new) == []


async def test_a_signal_name_that_cannot_be_kept_is_refused(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    await behind.start("order-1")
    answer = await client.post(f"{WORKFLOWS}/order-1/signals/a%00b", json=1)
    refused(answer, 422, "invalid_request", "name")


async def test_a_value_of_the_wrong_type_is_refused_where_the_code_is_imported(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    async def typed(ctx: Any) -> None: ...  # noqa: ANN401

    define(typed, name="typed-over-http", signals={"limit": int})
    try:
        await behind.start("order-1", name="typed-over-http", signals=("limit",))
        answer = await client.post(f"{WORKFLOWS}/order-1/signals/limit", json="many")
        assert "limit" in refused(answer, 422, "signal_invalid", "body")
        answer = await client.post(f"{WORKFLOWS}/order-1/signals/limit", json=5)
        assert answer.status_code == 202
    finally:
        DEFINITIONS.remove("typed-over-http")


async def test_a_value_over_the_limit_is_refused(client: httpx.AsyncClient, behind: Behind) -> None:
    new = await behind.start("order-1")
    path = f"{WORKFLOWS}/order-1/signals/go"
    exact = orjson.dumps("x" * (LIMIT_BYTES - 2))
    assert (await client.post(path, content=exact)).status_code == 202
    refused(await client.post(path, content=exact + b" "), 413, "body_too_large")
    assert len(await behind.signals(new)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"{", "body"), (b"[]", "body"), (b'{"reason": 7}', "reason"), (b'{"why": ""}', "why")],
    ids=repr,
)
async def test_a_cancel_that_cannot_be_read_is_refused_with_its_field(
    client: httpx.AsyncClient, behind: Behind, body: bytes, field: str
) -> None:
    new = await behind.start("order-1")
    answer = await client.post(f"{WORKFLOWS}/order-1/cancel", content=body)
    refused(answer, 422, "invalid_request", field)
    assert await behind.signals(new) == []


async def test_a_postgres_that_is_gone_is_503_and_tells_nothing_about_itself(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    await behind.start("order-1")
    behind.store.is_gone = True
    for method, path in (
        ("GET", ""), ("GET", "/order-1"), ("GET", "/order-1/history"),
        ("POST", "/order-1/signals/go"), ("POST", "/order-1/cancel"),
    ):  # fmt: skip
        answer = await client.request(method, f"{WORKFLOWS}{path}", json={})
        assert "secret" not in refused(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def test_wrong_methods_and_paths_have_the_same_form(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("POST", ""), ("DELETE", "/order-1"), ("GET", "/order-1/cancel/"), ("PUT", "/a/history"),
    ):  # fmt: skip
        answer = await client.request(method, f"{WORKFLOWS}{path}")
        assert answer.status_code in {404, 405}
        assert answer.json()["error"]["code"] in {"not_found", "method_not_allowed"}


async def test_requests_are_counted_by_route_and_not_by_id(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    await behind.start("order-1")
    for path in ("/order-1", "/order-2", "/order-1/history"):
        await client.get(f"{WORKFLOWS}{path}")
    await client.post(f"{WORKFLOWS}/order-1/signals/go", json=1)
    counted = (await client.get("/metrics")).text
    one = f"{WORKFLOWS}/{{workflow_id}}"
    assert f'route="{one}",status="200"}} 1.0' in counted
    assert f'route="{one}",status="404"}} 1.0' in counted
    assert f'route="{one}/history",status="200"}} 1.0' in counted
    assert f'route="{one}/signals/{{name}}",status="202"}} 1.0' in counted
    assert "order-1" not in counted


async def test_callers_at_the_same_time_are_each_answered(
    client: httpx.AsyncClient, behind: Behind
) -> None:
    new = await behind.start("order-1")
    posts = [client.post(f"{WORKFLOWS}/order-1/signals/go", json=n) for n in range(20)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["signal_id"] for answer in answers}) == 20
    assert len(await behind.signals(new)) == 20
