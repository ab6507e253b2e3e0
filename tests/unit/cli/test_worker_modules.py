"""Importing a user's modules, and saying why one cannot be imported."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.cli.modules import import_modules, import_target, lifespans
from octoqueue.cli.worker_process import queues_for
from octoqueue.errors import ConfigError, ModuleUnusable
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def reason_for(name: str) -> str:
    with pytest.raises(ModuleUnusable) as caught:
        import_modules([name])
    assert caught.value.module == name
    return str(caught.value)


def test_modules_are_found_in_the_working_directory(folder: Path) -> None:
    (folder / "q_first.py").write_text("X = 1")
    (folder / "q_package").mkdir()
    (folder / "q_package" / "second.py").write_text("X = 2")
    found = import_modules(["q_first", "q_package.second"])
    assert [vars(module)["X"] for module in found] == [1, 2]


@pytest.mark.usefixtures("folder")
def test_a_module_that_is_nowhere_is_said_to_be(folder: Path) -> None:
    assert reason_for("q_gone.actors") == (
        f"q_gone.actors cannot be found: it is neither installed nor in {folder}; "
        "go to the folder that holds it, or set PYTHONPATH"
    )


def test_a_module_missing_in_a_package_that_is_there_is_told_apart(folder: Path) -> None:
    (folder / "q_package").mkdir()
    (folder / "q_package" / "__init__.py").touch()
    assert reason_for("q_package.actorz") == (
        "q_package.actorz cannot be found: q_package has no 'actorz'"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("q_first.py", "q_first.py is a file, not a module: write q_first"),
        (
            "q_package/actors.py",
            "q_package/actors.py is no module: write its dotted path, as q_package.actors",
        ),
        ("my-app", "my-app is no module: write its dotted path, as my_app.actors"),
    ],
)
def test_who_writes_a_file_is_told_the_module(folder: Path, name: str, told: str) -> None:
    (folder / "q_first.py").touch()
    assert reason_for(name) == told


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("\nimport q_nothing\n", "ModuleNotFoundError: No module named 'q_nothing' (q_bad.py:2)"),
        ("\n\nx = (\n", "SyntaxError: '(' was never closed (q_bad.py:3)"),
        ("raise SystemExit(3)", "SystemExit: 3 (q_bad.py:1)"),
        (
            "import octoqueue\n\n@octoqueue.actor(max_retry=3)\ndef q_f(): ...",
            (
                "actor 'q_f' does not understand the option 'max_retry'; "
                "did you mean 'max_retries'? (q_bad.py:3)"
            ),
        ),
    ],
)
def test_what_is_wrong_inside_a_module_is_told_with_its_place(
    folder: Path, code: str, told: str
) -> None:
    (folder / "q_bad.py").write_text(code)
    assert reason_for("q_bad") == f"q_bad cannot be imported: {told}"


def test_a_target_is_an_object_in_a_module(folder: Path) -> None:
    (folder / "q_web.py").write_text("class apps:\n    main = 'here'")
    assert import_target("q_web:apps.main") == "here"
    with pytest.raises(ModuleUnusable, match=r"q_web has no 'apps\.other'"):
        import_target("q_web:apps.other")


def module_with(lifespan: object, *, name: str = "mine") -> ModuleType:
    module = ModuleType(name)
    vars(module)["lifespan"] = lifespan
    return module


async def test_lifespans_are_entered_in_order_left_in_reverse_and_shared_ones_once() -> None:
    told: list[str] = []

    def saying(name: str) -> object:
        @asynccontextmanager
        async def lifespan(settings: Settings) -> AsyncGenerator[None]:
            told.append(f"+{name} {settings.namespace}")
            yield
            told.append(f"-{name}")

        return lifespan

    first, second = saying("a"), saying("b")
    modules = [module_with(each) for each in (first, None, second, first)]
    async with lifespans(modules, Settings(namespace="ns")):
        told.append("work")
    assert told == ["+a ns", "+b ns", "work", "-b", "-a"]


class Failing:
    """A lifespan that does not begin."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, settings: Settings) -> Failing:
        return self

    async def __aenter__(self) -> None:
        raise self._error

    async def __aexit__(self, *_: object) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError("no socket"), ModuleUnusable, "mine has a lifespan that failed: OSError: no sock"),
        (ConfigError("x: is wrong", key="x"), ConfigError, "x: is wrong"),
    ],
)
async def test_a_lifespan_that_fails_is_told_in_one_line(
    error: Exception, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        async with lifespans([module_with(Failing(error))], Settings()):
            pytest.fail("it must not begin")


def broker_with(*queues: str) -> LaneBroker:
    import octoqueue

    broker = LaneBroker("redis://nowhere")
    for queue in queues:
        octoqueue.actor(lambda: None, name=f"of_{queue}", queue=queue, broker=broker)  # type: ignore[call-overload]
    return broker


def test_a_worker_claims_from_the_queues_of_its_actors_unless_told_otherwise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = broker_with("b", "a", "b2")
    assert queues_for(broker, [], []) == ("a", "b", "b2")
    assert queues_for(broker, [], ["b", "z"]) == ("b", "z")
    (warning,) = caplog.records
    assert (warning.message, vars(warning)["queue"]) == ("queue_without_actors", "z")


def test_modules_without_actors_are_refused() -> None:
    modules = [ModuleType("one"), ModuleType("two")]
    with pytest.raises(ModuleUnusable, match="one, two declare no actor: mark a function"):
        queues_for(broker_with(), modules, ["a"])
