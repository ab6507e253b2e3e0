"""What users may import, and what that costs them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

import octoqueue
import octoqueue.testing

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = [
    "Actor",
    "Batch",
    "Discard",
    "Event",
    "Lane",
    "LaneBroker",
    "MessageContext",
    "MessageHandle",
    "RateLimit",
    "Retry",
    "Snooze",
    "StepFailed",
    "Unique",
    "Workflow",
    "WorkflowClient",
    "WorkflowContext",
    "WorkflowHandle",
    "__version__",
    "actor",
    "asend_many",
    "checkpoint",
    "current_batch",
    "current_message",
    "enqueue_in",
    "errors",
    "gather",
    "get_broker",
    "periodic",
    "send_many",
    "set_broker",
    "spent",
    "workflow",
]
"""A name added here is a promise; a name removed here is a broken one."""

PUBLIC_IN_TESTING = [
    "Called",
    "DrainReport",
    "Enqueued",
    "FakeClock",
    "LaneQueue",
    "MemoryLaneStore",
    "MemoryWorkflowStore",
    "NEVER",
    "Ran",
    "Send",
    "WorkflowRun",
    "arun_workflow",
    "in_memory",
    "replay",
    "run_workflow",
]
"""The same for `octoqueue.testing`, the test kit."""

CLIENTS = {
    "asyncpg",
    "dramatiq",
    "fastapi",
    "grpc",
    "httpx",
    "prometheus_client",
    "pydantic",
    "redis",
    "rich",
    "typer",
    "uvicorn",
    "uvloop",
}
PURE_ROOMS = ("primitives", "routing", "telemetry", "scaling")


def modules_loaded_by(statement: str, root: Path) -> set[str]:
    """Run a statement in a new interpreter; return the top-level modules it has then."""
    program = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_facade_offers_exactly_the_pinned_names() -> None:
    assert sorted(octoqueue.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(octoqueue, name) is not None
    assert name in dir(octoqueue)


def test_a_name_the_facade_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = octoqueue.no_such_name


def test_the_test_kit_offers_exactly_the_pinned_names() -> None:
    assert sorted(octoqueue.testing.__all__) == PUBLIC_IN_TESTING
    assert dir(octoqueue.testing) == PUBLIC_IN_TESTING
    for name in PUBLIC_IN_TESTING:
        assert getattr(octoqueue.testing, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = octoqueue.testing.no_such_name


def test_the_pytest_plugin_loads_nothing_before_it_is_used(root: Path) -> None:
    loaded = modules_loaded_by("import octoqueue.testing.pytest_plugin", root)
    assert not loaded & CLIENTS


def test_the_version_is_that_of_the_package(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert octoqueue.__version__ == project["version"]


def test_importing_the_library_loads_no_client_library(root: Path) -> None:
    assert not modules_loaded_by("import octoqueue", root) & CLIENTS


def test_importing_the_pure_rooms_loads_no_client_library(root: Path) -> None:
    names = [
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for room in PURE_ROOMS
        for path in sorted((root / "octoqueue" / room).rglob("*.py"))
    ]
    assert not modules_loaded_by(f"import octoqueue.errors, {', '.join(names)}", root) & CLIENTS
