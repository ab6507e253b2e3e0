"""The program of docs/workflows-operating.md, seen and steered by the commands shown there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.databases import fresh_database
from tests.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "workflows-operating.md").read_text()
PATIENCE = 100
"""How often something is looked for; each look is a command."""


def example(name: str) -> str:
    """A file that the page shows."""
    (found,) = re.findall(rf"```\w+\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@dataclass
class Shop:
    """The program of the page in a folder, with servers of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command of workflows; return how it ended and all that it said."""
        with Program("workflows", *words, cwd=self.folder, environment=self.environment) as program:
            code = program.ends()
            return code, "\n".join(program.said)

    def says(self, *words: str) -> str:
        code, told = self.run(*words)
        assert code == 0, told
        return told

    def answer(self, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.says(*words, "--json"))
        return told

    def becomes(self, ident: str, status: str) -> dict[str, Any]:
        """Look at an execution until it has that status."""
        told: dict[str, Any] = {}
        for _ in range(PATIENCE):
            told = self.answer("show", ident)
            if told["status"] == status:
                return told
        pytest.fail(f"{ident} does not become {status}: {told}")

    def waits_for(self, ident: str, what: str) -> None:
        told: dict[str, Any] = {}
        for _ in range(PATIENCE):
            told = self.answer("show", ident)
            if what in [wait["for"] for wait in told["waits"]]:
                return
        pytest.fail(f"{ident} does not wait for {what}: {told}")


@pytest.fixture
async def shop(redis_url: str, postgres_dsn: str, tmp_path: Path) -> AsyncGenerator[Shop]:
    for name in ("shop.py", "octoqueue.yaml", "test_shop.py"):
        (tmp_path / name).write_text(example(name))
    async with fresh_database(postgres_dsn) as dsn:
        environment = {
            "OCTOQUEUE_REDIS_URL": redis_url,
            "OCTOQUEUE_POSTGRES_URL": dsn,
            "OCTOQUEUE_NAMESPACE": f"w{uuid4().hex[:8]}",
        }
        yield Shop(tmp_path, environment)


@pytest.fixture
def open_shop(shop: Shop) -> Iterator[Shop]:
    """The shop with its worker and its orchestrator."""
    with ExitStack() as stack:
        for words, fact in (
            (("orchestrator", "shop"), "partitions_taken"),
            (("worker", "shop"), "worker_started"),
        ):
            program = Program(*words, cwd=shop.folder, environment=shop.environment)
            stack.enter_context(program).says(fact)
        yield shop


def test_orders_are_started_seen_signalled_cancelled_and_tried_again(open_shop: Shop) -> None:
    shop = open_shop
    dear = '{"item": "sofa", "price": 500}'
    assert shop.says("start", "order", dear, "--id", "order-2") == "order-2"
    assert not shop.answer("start", "order", dear, "--id", "order-2")["is_new"]
    ladder = '{"item": "ladder", "price": 50}'
    assert shop.says("start", "order", ladder, "--id", "order-3") == "order-3"

    shop.waits_for("order-2", "signal approve")
    assert "octoqueue workflows signal order-2 approve JSON" in shop.says("show", "order-2")
    code, told = shop.run("signal", "order-2", "approve", '{"who": "ada"}')
    assert (code, "by: Field required" in told) == (2, True), told
    shop.says("signal", "order-2", "approve", '{"by": "ada"}')
    assert shop.becomes("order-2", "completed")["output"] == "sofa is on its way"
    assert '{"approved_by":"ada"}' in shop.says("history", "order-2")

    failed = shop.becomes("order-3", "failed")
    assert "does not fit into the van" in failed["error"]["message"]
    history = shop.says("history", "order-3")
    assert re.search(r"^  2\.0\.1 +call +ship +failed", history, re.MULTILINE)
    assert re.search(r"^compensate\.1 +call +refund +completed", history, re.MULTILINE)
    again = shop.answer("retry-from", "order-3", "2.0.1")
    assert shop.becomes(again["execution_id"], "failed")["run"] == 2

    shop.says("start", "order", dear, "--id", "order-4")
    shop.waits_for("order-4", "signal approve")
    told = shop.says("cancel", "order-4", "--reason", "ordered twice")
    assert told == "Workflow order-4 was asked to end."
    assert shop.becomes("order-4", "cancelled")["error"]["message"] == "ordered twice"

    listed = shop.answer("list", "--status", "failed")["executions"]
    assert [(each["workflow_id"], each["run"]) for each in listed] == [
        ("order-3", 2), ("order-3", 1),
    ]  # fmt: skip


def test_an_exported_history_is_replayed_and_changed_code_is_told_the_step(
    open_shop: Shop,
) -> None:
    shop = open_shop
    shop.says("start", "order", '{"item": "tea", "price": 5}', "--id", "order-1")
    shop.becomes("order-1", "completed")
    shop.says("history", "order-1", "--output", "order-1.json")
    assert shop.says("replay", "order-1.json", "shop").startswith("OK: order does what execution")
    code = (shop.folder / "shop.py").read_text()
    changed = code.replace("ctx.call(ship, wanted.item)", "ctx.call(ship, wanted.item.upper())")
    (shop.folder / "later.py").write_text(changed)
    ended, told = shop.run("replay", "order-1.json", "later")
    assert ended == 1, told
    assert "step 2.0.1: the code begins call 'ship' with other arguments" in told


def test_a_workflow_that_nobody_runs_is_queued_and_says_what_would_run_it(shop: Shop) -> None:
    with Program("outbox", "migrate", cwd=shop.folder, environment=shop.environment) as migrating:
        assert migrating.ends() == 0, migrating.transcript
    shop.says("start", "order", '{"item": "tea", "price": 5}', "--id", "order-1")
    told = shop.says("show", "order-1")
    assert "queued" in told
    assert "held by nobody: 'octoqueue orchestrator' runs workflows" in told


def test_the_tests_on_the_page_pass(shop: Shop) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(
        [*words, "--rootdir", str(shop.folder), "-c", "/dev/null"],
        cwd=shop.folder,
        env={"PYTHONPATH": f"{ROOT}:{shop.folder}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
