"""The public test kit: run and inspect your actors without a server.

`lane_queue`, a pytest fixture, and `in_memory`, the same for everything else, give a test the
queues of its broker: `drain` runs what waits, `advance` moves the clock, `require_enqueued` looks.
`MemoryLaneStore` keeps the same promises as the Redis store (both pass one contract suite) inside
one process; its clock may be a `FakeClock` that moves only when told. `MemoryWorkflowStore` is the
same for what PostgreSQL keeps of workflows.

`run_workflow` runs a workflow in memory and in virtual time, `replay` a history of one against the
code there is now.

The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.testing.enqueued import Enqueued as Enqueued
    from octoqueue.testing.fake_clock import FakeClock as FakeClock
    from octoqueue.testing.lane_queue import LaneQueue as LaneQueue
    from octoqueue.testing.lane_queue import in_memory as in_memory
    from octoqueue.testing.memory_lanes import MemoryLaneStore as MemoryLaneStore
    from octoqueue.testing.memory_workflows import MemoryWorkflowStore as MemoryWorkflowStore
    from octoqueue.testing.report import DrainReport as DrainReport
    from octoqueue.testing.report import Ran as Ran
    from octoqueue.testing.workflow_play import NEVER as NEVER
    from octoqueue.testing.workflow_replay import Send as Send
    from octoqueue.testing.workflow_replay import arun_workflow as arun_workflow
    from octoqueue.testing.workflow_replay import replay as replay
    from octoqueue.testing.workflow_replay import run_workflow as run_workflow
    from octoqueue.testing.workflow_runs import Called as Called
    from octoqueue.testing.workflow_runs import WorkflowRun as WorkflowRun

__all__ = [
    "NEVER",
    "Called",
    "DrainReport",
    "Enqueued",
    "FakeClock",
    "LaneQueue",
    "MemoryLaneStore",
    "MemoryWorkflowStore",
    "Ran",
    "Send",
    "WorkflowRun",
    "arun_workflow",
    "in_memory",
    "replay",
    "run_workflow",
]

_HOMES = {
    "NEVER": "octoqueue.testing.workflow_play",
    "Called": "octoqueue.testing.workflow_runs",
    "DrainReport": "octoqueue.testing.report",
    "Enqueued": "octoqueue.testing.enqueued",
    "FakeClock": "octoqueue.testing.fake_clock",
    "LaneQueue": "octoqueue.testing.lane_queue",
    "MemoryLaneStore": "octoqueue.testing.memory_lanes",
    "MemoryWorkflowStore": "octoqueue.testing.memory_workflows",
    "Ran": "octoqueue.testing.report",
    "Send": "octoqueue.testing.workflow_replay",
    "WorkflowRun": "octoqueue.testing.workflow_runs",
    "arun_workflow": "octoqueue.testing.workflow_replay",
    "in_memory": "octoqueue.testing.lane_queue",
    "replay": "octoqueue.testing.workflow_replay",
    "run_workflow": "octoqueue.testing.workflow_replay",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'octoqueue.testing' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
