"""`octoqueue workflows start` and `replay`: what they say of code and files, without any server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from octoqueue.cli.main import main
from octoqueue.testing import run_workflow
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.exports import history_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = """
import octoqueue

@octoqueue.workflow(name="{name}")
async def double(ctx: octoqueue.WorkflowContext, n: int) -> int:
    m = await ctx.run(lambda: n, name="look")
    return {result}
"""
Run = tuple[int, str, str]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"double_{uuid4().hex[:8]}"
    yield name
    DEFINITIONS.remove(name)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OCTOQUEUE_EMBEDDED__STATE_DIR", str(tmp_path / "state"))

    def run(*words: str) -> Run:
        code = main(["workflows", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def module(folder: Path, name: str, *, result: str = "n + m") -> str:
    """Write a module that declares the workflow; return what it is called."""
    called = f"m{uuid4().hex[:8]}"
    (folder / f"{called}.py").write_text(CODE.format(name=name, result=result))
    return called


@pytest.fixture
def history(tmp_path: Path, name: str, shell: Callable[..., Run]) -> dict[str, Any]:
    __import__(called := module(tmp_path, name))
    run = run_workflow(sys.modules[called].double, 4)
    assert run.output == 8
    DEFINITIONS.remove(name)
    return history_document(run.history)


def test_code_that_does_what_the_history_says_is_ok(
    shell: Callable[..., Run], tmp_path: Path, name: str, history: dict[str, Any]
) -> None:
    (tmp_path / "h.json").write_bytes(orjson.dumps(history))
    code, out, err = shell("replay", "h.json", module(tmp_path, name))
    assert (code, err) == (0, "")
    assert out.startswith(f"OK: {name} does what execution ")
    assert out.endswith(" of workflow test did, its only step.\n")
    DEFINITIONS.remove(name)
    told = orjson.loads(shell("replay", "h.json", module(tmp_path, name), "--json")[1])
    assert (told["fits"], told["steps"], told["status"]) == (True, 1, "completed")


def test_code_that_does_something_else_is_exit_code_1_with_the_step(
    shell: Callable[..., Run], tmp_path: Path, name: str, history: dict[str, Any]
) -> None:
    (tmp_path / "h.json").write_bytes(orjson.dumps(history))
    history["steps"][0]["name"] = "read"
    (tmp_path / "other.json").write_bytes(orjson.dumps(history))
    later = module(tmp_path, name, result="n * m")
    code, out, err = shell("replay", "h.json", later)
    assert (code, out) == (1, "")
    assert "the code returns 16, which is not what the journal has" in err
    code, _, err = shell("replay", "other.json", later, "--json")
    assert code == 1
    told = orjson.loads(err)
    assert told["error"] == "WorkflowChanged"
    assert "step 1: the journal has run 'read' there, the code begins run 'look'" in told["message"]


def test_a_file_or_module_that_cannot_be_used_is_exit_code_2(
    shell: Callable[..., Run], tmp_path: Path, name: str, history: dict[str, Any]
) -> None:
    (tmp_path / "h.json").write_bytes(orjson.dumps(history))
    code, _, err = shell("replay", "nowhere.json", "m")
    assert (code, "cannot be read: No such file" in err) == (2, True)
    code, _, err = shell("replay", "h.json", "no_such_module")
    assert (code, "cannot be found" in err) == (2, True)
    (tmp_path / "empty.py").touch()
    code, _, err = shell("replay", "h.json", "empty")
    assert (code, f"workflow '{name}' is not declared" in err) == (2, True)
    (tmp_path / "h.json").write_text("{}")
    code, _, err = shell("replay", "h.json", "empty")
    assert (code, "format is missing" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("start", "{name}", "4"), "is declared by no fleet"),
        (("start", "{name}", "four", "-m", "{module}"), "the input is no JSON"),
        (("start", "{name}", '"four"', "-m", "{module}"), "input: "),
        (("start", "no_such", "4", "-m", "{module}"), "'no_such' is not declared"),
        (("start", "{name}", "4", "-m", "{module}"), "Redis"),
    ],
    ids=["no module", "no JSON", "wrong type", "unknown", "no server"],
)
def test_what_cannot_be_started_is_refused_in_one_line(
    shell: Callable[..., Run], tmp_path: Path, name: str, words: tuple[str, ...], told: str
) -> None:
    called = module(tmp_path, name)
    code, out, err = shell(*(word.format(name=name, module=called) for word in words))
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
