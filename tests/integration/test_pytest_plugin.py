"""The newcomer's path: octoqueue is installed, and the tests of a program just use the fixtures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
SCOPE = "asyncio_default_fixture_loop_scope=function"
"""Without one pytest-asyncio warns."""

SHOP = """
import octoqueue

mails = []

@octoqueue.actor(queue="mail", max_retries=3)
async def confirm(order_id: int, *, gift: bool = False) -> None:
    mails.append(order_id)
    if gift:
        await wrap.using(lane="high").asend(order_id)

@octoqueue.actor(queue="warehouse", results=True)
def wrap(order_id: int) -> str:
    return f"wrapped {order_id}"

@octoqueue.actor
def refund(order_id: int) -> None:
    raise PermissionError(f"order {order_id} is not refundable")
"""

SYNC_TESTS = """
from datetime import timedelta
import pytest
import shop

def test_a_gift_is_wrapped(lane_queue):
    shop.confirm.send(1, gift=True)
    report = lane_queue.drain(queues=["mail"])
    assert [ran.actor for ran in report.acked] == ["confirm"]
    lane_queue.require_enqueued(shop.wrap, args=(1,), lane="high", count=1)
    lane_queue.drain()

def test_the_queue_is_empty_in_the_next_test(lane_queue):
    assert lane_queue.enqueued() == []

def test_a_reminder_comes_the_next_day(lane_queue):
    shop.confirm.using(delay=timedelta(days=1)).send(2)
    assert lane_queue.drain().ran == ()
    lane_queue.advance(timedelta(days=1))
    lane_queue.drain()
    assert shop.mails[-1] == 2

def test_results(lane_queue):
    handle = shop.wrap.send(3)
    lane_queue.drain()
    assert lane_queue.result(handle) == "wrapped 3"

def test_a_failing_actor_fails_the_test(lane_queue):
    with pytest.raises(PermissionError, match="order 4"):
        shop.refund.send(4)
        lane_queue.drain()

def test_the_broker_is_the_one_of_the_program(octoqueue_broker, lane_queue):
    assert lane_queue.broker is octoqueue_broker is shop.confirm.broker
"""

ASYNC_TESTS = """
import shop

async def test_actors_run_on_the_loop_of_the_test(lane_queue):
    handle = await shop.wrap.asend(5)
    await shop.confirm.asend(5)
    await lane_queue.adrain()
    assert await handle.result() == "wrapped 5"
    assert shop.mails[-1] == 5
"""

FAILING_TEST = """
import shop

def test_what_is_not_enqueued(lane_queue):
    shop.confirm.send(7)
    lane_queue.require_enqueued(shop.confirm, args=(8,))
"""

STRANGER = """
import sys

def test_a_program_without_octoqueue_pays_nothing_for_it():
    loaded = {"dramatiq", "redis", "asyncpg", "orjson", "pydantic"} & set(sys.modules)
    assert not loaded
    assert "octoqueue.testing.pytest_plugin" in sys.modules
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with octoqueue in it as an installer leaves it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


class Project:
    """Somebody's folder with a program and its tests."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self.installed = installed
        self.write("pytest.ini", "[pytest]\nfilterwarnings = error\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def test(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run pytest as the newcomer does."""
        kept = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        environ = kept | {"PYTHONPATH": str(self.installed), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider"]
        return subprocess.run(
            [*command, *options],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path, installed: Path) -> Project:
    return Project(tmp_path, installed)


def test_the_fixtures_are_there_and_work_in_plain_tests(project: Project) -> None:
    project.write("shop.py", SHOP)
    project.write("test_shop.py", SYNC_TESTS)
    ran = project.test("-p", "no:asyncio")
    assert "6 passed" in ran.stdout, ran.stdout


def test_they_work_in_async_tests_too(project: Project) -> None:
    project.write("shop.py", SHOP)
    project.write("test_shop.py", SYNC_TESTS)
    project.write("test_async.py", ASYNC_TESTS)
    ran = project.test("-o", "asyncio_mode=auto", "-o", SCOPE)
    assert "7 passed" in ran.stdout, ran.stdout


def test_the_examples_of_the_manual_run(project: Project) -> None:
    (program, *_) = python_in(ROOT / "README.md")
    tests = [text for text in python_in(ROOT / "docs" / "testing.md") if "def test_" in text]
    project.write("my_app.py", program)
    project.write("test_manual.py", "\n\n".join(tests))
    ran = project.test("-o", "asyncio_mode=auto", "-o", SCOPE)
    assert "3 passed" in ran.stdout, ran.stdout


def python_in(file: Path) -> list[str]:
    """Return the Python of a manual."""
    return re.findall(r"^```python\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL)


def test_what_is_missing_is_told_where_it_was_wanted(project: Project) -> None:
    project.write("shop.py", SHOP)
    project.write("test_shop.py", FAILING_TEST)
    ran = project.test("-p", "no:asyncio")
    assert "1 failed" in ran.stdout
    assert "at least 1 of confirm(8) should be enqueued, 0 are" in ran.stdout
    assert "order_id: wanted 8, is 7" in ran.stdout
    assert "expectation.py" not in ran.stdout, "the traceback ends in the newcomer's own line"


def test_whoever_does_not_use_it_loads_nothing(project: Project) -> None:
    project.write("test_other.py", STRANGER)
    ran = project.test("-p", "no:asyncio")
    assert "1 passed" in ran.stdout, ran.stdout


def test_it_can_be_switched_off(project: Project) -> None:
    project.write("shop.py", SHOP)
    project.write("test_shop.py", SYNC_TESTS)
    ran = project.test("-p", "no:octoqueue", "-p", "no:asyncio")
    assert "fixture 'lane_queue' not found" in ran.stdout
