"""What `octoqueue workflows` says and does, on stores in memory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.cli import workflow_desk, workflow_steering, workflows
from octoqueue.cli.main import main
from octoqueue.errors import StoreUnavailable
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.exports import history_from
from octoqueue.workflows.letters import Nudge, letter_from, queue_of
from octoqueue.workflows.protocol import Agent
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus
from tests.contract.workflow_values import (
    ALL,
    Holder,
    a_signal,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    fails,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.journal import Turn

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
BOUNDS = LaneBounds(high=1, normal=1, low=1)


@dataclass
class Program:
    """The program on stores in memory, as a shell sees it."""

    capsys: pytest.CaptureFixture[str]
    store: MemoryWorkflowStore = field(default_factory=MemoryWorkflowStore)
    lanes: MemoryLaneStore = field(
        default_factory=lambda: MemoryLaneStore(LaneOptions(default_bounds=BOUNDS))
    )
    redis_is_gone: bool = False

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["workflows", *words])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def says(self, *words: str) -> str:
        code, out, err = self.run(*words)
        assert (code, err) == (0, "")
        return out

    def answer(self, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = orjson.loads(self.says(*words, "--json"))
        return told

    def refusal(self, code: int, *words: str) -> dict[str, Any]:
        """The error of a command that ends with `code`."""
        ended_with, out, err = self.run(*words, "--json")
        assert (ended_with, out) == (code, "")
        told: dict[str, Any] = orjson.loads(err)
        return told

    def start(self, workflow_id: str, **fields: Any) -> NewExecution:  # noqa: ANN401
        new = a_workflow(workflow_id, **fields)
        asyncio.run(self.store.start(new))
        return new

    def write(self, *turns: Turn, leaves: bool = True) -> None:
        async def write() -> None:
            holder = await Holder.of(self.store, lease=timedelta(seconds=60))
            assert await self.store.write(holder.agent_id, turns, holder.epochs) == frozenset()
            if leaves:
                await self.store.leave(holder.agent_id)

        asyncio.run(write())

    def letters(self, of: NewExecution) -> list[object]:
        async def read() -> list[object]:
            claimed = await self.lanes.claim(_session(), [queue_of(of.partition)], limit=10)
            return [letter_from(lease.payload) for lease in claimed]

        return asyncio.run(read())


def _session() -> Any:  # noqa: ANN401 - a name
    return text_from_id(new_message_id())


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    program = Program(capsys)

    @asynccontextmanager
    async def opened(_: object) -> AsyncGenerator[MemoryWorkflowStore]:
        yield program.store

    @asynccontextmanager
    async def store_of(_: object) -> AsyncGenerator[LaneStore]:
        if program.redis_is_gone:
            raise StoreUnavailable("Redis", reason="gone")
        yield program.lanes

    for module in (workflows, workflow_steering):
        monkeypatch.setattr(module, "opened_workflows", opened)
    monkeypatch.setattr(workflow_desk, "store_of", store_of)
    return program


def fields_of(out: str) -> dict[str, str]:
    """The lines of a name, two spaces or more, and a value."""
    pairs = [line.split("  ", 1) for line in out.splitlines() if "  " in line]
    return {name.strip(): value.strip() for name, value in pairs}


# ── list ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_list_says_so(program: Program) -> None:
    assert program.says("list") == "No execution.\n"
    program.start("a")
    assert program.says("list", "--status", "failed") == "No execution is like that.\n"
    assert program.answer("list", "--name", "nobody") == {"executions": []}


def test_executions_are_listed_newest_first_and_filtered(program: Program) -> None:
    one = program.start("order-1", tenant="acme")
    two = program.start("order-2", name="ship")
    program.write(begins(one), fails(two))
    out = program.says("list")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:4] == ["workflow", "run", "function", "status"]
    assert [row[0] for row in rows[1:]] == ["order-2", "order-1"]
    assert "Oops" in out
    for words, found in (
        (("--status", "FAILED"), ["order-2"]),
        (("--tenant", "acme"), ["order-1"]),
        (("--name", "ship"), ["order-2"]),
        (("--id", "order-1"), ["order-1"]),
        (("--before", two.execution_id), ["order-1"]),
        (("--limit", "1"), ["order-2"]),
    ):
        told = program.answer("list", *words)["executions"]
        assert [each["workflow_id"] for each in told] == found, words


def test_a_full_page_says_how_to_see_the_next(program: Program) -> None:
    new = program.start("order-1")
    assert f"--before {new.execution_id}" in program.says("list", "--limit", "1")


@pytest.mark.parametrize(
    "words", [("--status", "done"), ("--before", "order-1"), ("--limit", "0")], ids=str
)
def test_a_filter_that_cannot_be_is_a_wrong_command_line(
    program: Program, words: tuple[str, str]
) -> None:
    code, out, err = program.run("list", *words)
    assert (code, out) == (2, "")
    assert words[0].lstrip("-") in err


# ── show ─────────────────────────────────────────────────────────────────────────────────────────


def test_one_that_waits_for_a_signal_says_how_to_send_it(program: Program) -> None:
    new = program.start("order-1", signals=("approve",))
    call = a_step("1", name="reserve")
    waits = a_step("2", StepKind.SIGNAL, name="approve", input=None, due_at_ms=2**45)
    program.write(begins(new, call), turn(new, ended(call, 1), waits), leaves=False)
    out = program.says("show", "order-1")
    told = fields_of(out)
    assert told["workflow"] == "order-1"
    assert told["execution"] == f"{new.execution_id}, run 1"
    assert told["status"].startswith("running, for ")
    assert told["waits for"].startswith("signal approve (step 2), for ")
    assert told["waits for"].endswith(" more")
    assert told["steps"] == "1 completed, 1 pending"
    assert told["partition"].startswith(f"{new.partition}, held by orchestrator ")
    assert "octoqueue workflows signal order-1 approve JSON" in out
    assert '"n": 1' in out


def test_one_that_nobody_runs_says_what_runs_workflows(program: Program) -> None:
    program.start("order-1")
    out = program.says("show", "order-1")
    assert "an orchestrator that begins it" in out
    assert "held by nobody: 'octoqueue orchestrator' runs workflows" in out


def test_one_that_is_blocked_says_why_and_is_not_called_failed(program: Program) -> None:
    new = program.start("order-1")
    blocked = b'{"error":"WorkflowNotDeclared","message":"workflow \'order\' is not declared"}'
    program.write(turn(new, status=ExecutionStatus.BLOCKED, error=blocked))
    told = fields_of(program.says("show", "order-1"))
    assert told["status"].startswith("blocked, ")
    assert told["waits for"].startswith("WorkflowNotDeclared: workflow 'order' is not declared")
    assert "error" not in told


def test_one_that_has_ended_shows_its_output_or_its_error(program: Program) -> None:
    fine, broken = program.start("fine"), program.start("broken")
    program.write(begins(fine), completes(fine), begins(broken), fails(broken))
    assert '\noutput\n"done"\n' in program.says("show", "fine")
    told = fields_of(program.says("show", broken.execution_id))
    assert told["status"].startswith("failed, after ")
    assert told["error"] == "Oops"
    assert program.answer("show", "fine")["output"] == "done"


def test_a_machine_is_told_what_it_waits_for_and_who_holds_it(program: Program) -> None:
    new = program.start("order-1")
    sleep = a_step("1", StepKind.SLEEP, name="sleep", due_at_ms=1_700_000_000_000)
    program.write(begins(new, sleep), leaves=False)
    told = program.answer("show", "order-1")
    assert told["waits"] == [
        {
            "step": "1",
            "for": "time to pass",
            "since": "1970-01-01T00:00:01.000+00:00",
            "until": "2023-11-14T22:13:20.000+00:00",
        }
    ]
    assert told["held_by"].keys() == {"agent_id", "host"}
    assert told["steps"] == {"completed": 0, "failed": 0, "cancelled": 0, "pending": 1}


def test_the_host_of_the_holder_is_shown(program: Program) -> None:
    new = program.start("order-1")

    async def hold() -> None:
        agent = Agent(agent_id=_session(), host="node-7")
        await program.store.attend(agent, lease=timedelta(seconds=60))
        await program.store.take(agent.agent_id, ALL)

    asyncio.run(hold())
    assert "on node-7" in program.says("show", new.workflow_id)


def test_an_older_execution_names_the_newest(program: Program) -> None:
    new = program.start("order-1")
    program.write(begins(new, a_step("1")), fails(new))
    again = program.answer("retry-from", "order-1", "1")
    told = fields_of(program.says("show", new.execution_id))
    assert told["newest"] == f"execution {again['execution_id']}, run 2, queued"
    assert fields_of(program.says("show", "order-1"))["execution"].endswith(", run 2")


@pytest.mark.parametrize("command", ["show", "history", "cancel"])
@pytest.mark.parametrize("ident", ["order-9", UNKNOWN, "\n"], ids=["name", "uuid", "newline"])
def test_what_is_not_kept_is_said_to_be_unknown(program: Program, command: str, ident: str) -> None:
    told = program.refusal(1, command, ident)
    assert told["error"] == "WorkflowUnknown"
    assert repr(ident) in told["message"]


# ── history ──────────────────────────────────────────────────────────────────────────────────────


def test_a_history_is_a_line_a_step_with_branches_below_their_gather(program: Program) -> None:
    new = program.start("order-1")
    one, two = a_step("2.0.1", name="charge"), a_step("2.1.1", name="ship")
    failed = two._replace(
        status=StepStatus.FAILED,
        order=2,
        ended_at_ms=3_000,
        attempts=3,
        error=b'{"error":"OSError","message":"[no] van"}',
    )
    program.write(begins(new, one, two), turn(new, ended(one, 1), failed))
    out = program.says("history", "order-1")
    lines = out.splitlines()
    assert lines[0] == "order order-1, run 1: running"
    rows = [line.split() for line in lines[4:]]
    assert [row[:3] for row in rows] == [
        ["2", "gather", "2"], ["2.0.1", "call", "charge"], ["2.1.1", "call", "ship"],
    ]  # fmt: skip
    assert lines[5].startswith("  2.0.1  ")
    assert "OSError: [no] van" in lines[6]


def test_a_history_without_steps_says_so(program: Program) -> None:
    program.start("order-1")
    assert "It has begun no step." in program.says("history", "order-1")


def test_a_history_is_written_into_a_file_that_can_be_read_back(
    program: Program, tmp_path: Path
) -> None:
    new = program.start("order-1")
    program.write(begins(new, a_step("1")))
    file = tmp_path / "order-1.json"
    assert not program.says("history", "order-1", "--output", str(file))
    written = history_from(file.read_bytes())
    assert written == asyncio.run(program.store.history(new.execution_id))
    assert orjson.loads(file.read_bytes()) == program.answer("history", "order-1")


def test_a_file_that_cannot_be_written_is_said(program: Program, tmp_path: Path) -> None:
    program.start("order-1")
    nowhere = tmp_path / "none" / "order-1.json"
    code, _, err = program.run("history", "order-1", "--output", str(nowhere))
    assert code == 2
    assert "cannot be written: No such file or directory" in err


# ── signal, cancel, retry-from ───────────────────────────────────────────────────────────────────


def test_a_signal_is_a_row_and_a_letter_to_the_orchestrator(program: Program) -> None:
    new = program.start("order-1")
    out = program.says("signal", "order-1", "approve", '{"by": "ada"}')
    assert out == "Signal approve was sent to workflow order-1.\n"
    kept = asyncio.run(program.store.history(new.execution_id))
    assert kept is not None
    (signal,) = kept.signals
    assert (signal.kind, signal.name, signal.value) == (
        SignalKind.SENT, "approve", b'{"by":"ada"}',
    )  # fmt: skip
    assert program.letters(new) == [Nudge(new.execution_id)]


def test_a_signal_without_a_value_is_null(program: Program) -> None:
    new = program.start("order-1")
    told = program.answer("signal", new.execution_id, "go")
    assert (told["workflow_id"], told["nudged"]) == ("order-1", True)
    kept = asyncio.run(program.store.history(new.execution_id))
    assert kept is not None
    assert [signal.value for signal in kept.signals] == [b"null"]


@pytest.mark.parametrize("why", ["gone", "full"])
def test_a_letter_that_cannot_be_sent_only_delays_the_signal(program: Program, why: str) -> None:
    new = program.start("order-1")
    program.says("signal", "order-1", "fills the lane")
    program.redis_is_gone = why == "gone"
    code, out, err = program.run("signal", "order-1", "approve", "1")
    assert (code, out) == (0, "Signal approve was sent to workflow order-1.\n")
    assert err.startswith("octoqueue: its orchestrator sees it some seconds later: ")
    told = program.answer("cancel", "order-1")
    assert not told["nudged"]
    kept = asyncio.run(program.store.history(new.execution_id))
    assert kept is not None
    assert len(kept.signals) == 3


def test_text_without_quotes_is_no_json_and_shown_with_them(program: Program) -> None:
    program.start("order-1")
    code, out, err = program.run("signal", "order-1", "approve", "yes")
    assert (code, out) == (2, "")
    assert "the value is no JSON" in err
    assert "'\"yes\"'" in err


def test_a_signal_the_workflow_does_not_declare_is_refused(program: Program) -> None:
    program.start("order-1", signals=("approve",))
    told = program.refusal(2, "signal", "order-1", "aprove", "true")
    assert told["error"] == "SignalUnknown"
    assert "it takes: approve" in told["message"]


def test_a_value_over_the_limit_is_refused_with_both_sizes(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOQUEUE_WORKFLOWS__MAX_VALUE_BYTES", "8")
    program.start("order-1")
    told = program.refusal(2, "signal", "order-1", "go", '"123456789"')
    assert told["error"] == "InputTooLarge"
    assert "11 bytes, the limit is 8" in told["message"]


def test_nothing_is_sent_to_one_that_has_ended(program: Program) -> None:
    new = program.start("order-1")
    program.write(begins(new), completes(new))
    for words in (("signal", "order-1", "go"), ("cancel", "order-1")):
        told = program.refusal(2, *words)
        assert told["error"] == "WorkflowFinished"
        assert new.execution_id in told["message"]


def test_a_cancel_carries_its_reason(program: Program) -> None:
    new = program.start("order-1")
    out = program.says("cancel", "order-1", "--reason", "ordered twice")
    assert out == "Workflow order-1 was asked to end.\n"
    kept = asyncio.run(program.store.history(new.execution_id))
    assert kept is not None
    (signal,) = kept.signals
    assert (signal.kind, signal.value) == (SignalKind.CANCEL, b'"ordered twice"')


def test_a_failed_one_begins_again_from_a_step(program: Program) -> None:
    new = program.start("order-1")
    one, two = a_step("1"), a_step("2")
    program.write(begins(new, one), turn(new, ended(one, 1), two), fails(new, ended(two, 2)))
    out = program.says("retry-from", "order-1", "2")
    assert out.startswith("Workflow order-1 begins again at step 2: execution ")
    newest = asyncio.run(program.store.newest(new.workflow_id))
    assert newest is not None
    assert f"{newest.execution_id}, run 2." in out
    assert program.letters(new) == [Nudge(newest.execution_id)]


def test_what_cannot_be_retried_says_why(program: Program) -> None:
    new = program.start("order-1")
    assert program.refusal(2, "retry-from", "order-1", "1")["error"] == "WorkflowNotFinished"
    program.write(begins(new, a_step("1")), fails(new))
    told = program.refusal(1, "retry-from", "order-1", "7")
    assert told["error"] == "StepUnknown"
    assert "octoqueue workflows history" in told["message"]


def test_a_signal_that_did_not_fit_is_seen_with_why(program: Program) -> None:
    new = program.start("order-1")
    signal = a_signal("approve", sent_at_ms=5)
    asyncio.run(program.store.signal(new.workflow_id, signal))
    why = b'{"error":"SignalInvalid","message":"by: Field required"}'
    program.write(begins(new, a_step("1"), refused={signal.signal_id: why}))
    told = fields_of(program.says("show", "order-1"))
    assert told["refused"].startswith("signal approve, ")
    assert told["refused"].endswith(" ago: SignalInvalid: by: Field required")
    assert program.answer("show", "order-1")["refused_signals"] == [
        {"name": "approve", "sent_at_ms": 5, "why": "SignalInvalid: by: Field required"}
    ]


def test_a_signal_nobody_has_asked_for_is_seen(program: Program) -> None:
    new = program.start("order-1")
    program.write(begins(new, a_step("1")))
    asyncio.run(program.store.signal(new.workflow_id, a_signal("early")))
    assert "signals early" in fields_of(program.says("show", "order-1"))["not taken"]
