"""octoqueue: an asynchronous task queue with priority lanes and embedded scaling agents.

The names below are the public surface; each is loaded when it is first used, so that importing a
pure part of the library (a scaler does) loads no client library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from octoqueue import errors as errors
    from octoqueue.broker.actors import Actor as Actor
    from octoqueue.broker.actors import actor as actor
    from octoqueue.broker.batch_option import Batch as Batch
    from octoqueue.broker.checkpoints import checkpoint as checkpoint
    from octoqueue.broker.checkpoints import spent as spent
    from octoqueue.broker.context import MessageContext as MessageContext
    from octoqueue.broker.context import current_batch as current_batch
    from octoqueue.broker.context import current_message as current_message
    from octoqueue.broker.default import default_broker as get_broker
    from octoqueue.broker.default import use_broker as set_broker
    from octoqueue.broker.handles import MessageHandle as MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker as LaneBroker
    from octoqueue.broker.limiting import RateLimit as RateLimit
    from octoqueue.broker.periodic import periodic as periodic
    from octoqueue.broker.unique import Unique as Unique
    from octoqueue.errors import Discard as Discard
    from octoqueue.errors import Retry as Retry
    from octoqueue.errors import Snooze as Snooze
    from octoqueue.errors import StepFailed as StepFailed
    from octoqueue.primitives.events import Event as Event
    from octoqueue.primitives.lane import Lane as Lane
    from octoqueue.producer.batch import asend_many as asend_many
    from octoqueue.producer.batch import send_many as send_many
    from octoqueue.producer.gathering import gather as gather
    from octoqueue.producer.outbox import enqueue_in as enqueue_in
    from octoqueue.producer.workflow_client import WorkflowClient as WorkflowClient
    from octoqueue.producer.workflow_handles import WorkflowHandle as WorkflowHandle
    from octoqueue.producer.workflows import Workflow as Workflow
    from octoqueue.producer.workflows import workflow as workflow
    from octoqueue.workflows.context import Context as WorkflowContext

__all__ = [
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

_HOMES = {
    "Actor": ("octoqueue.broker.actors", "Actor"),
    "Batch": ("octoqueue.broker.batch_option", "Batch"),
    "Discard": ("octoqueue.errors", "Discard"),
    "Event": ("octoqueue.primitives.events", "Event"),
    "Lane": ("octoqueue.primitives.lane", "Lane"),
    "LaneBroker": ("octoqueue.broker.lane_broker", "LaneBroker"),
    "MessageContext": ("octoqueue.broker.context", "MessageContext"),
    "MessageHandle": ("octoqueue.broker.handles", "MessageHandle"),
    "RateLimit": ("octoqueue.broker.limiting", "RateLimit"),
    "Retry": ("octoqueue.errors", "Retry"),
    "Snooze": ("octoqueue.errors", "Snooze"),
    "StepFailed": ("octoqueue.errors", "StepFailed"),
    "Unique": ("octoqueue.broker.unique", "Unique"),
    "Workflow": ("octoqueue.producer.workflows", "Workflow"),
    "WorkflowClient": ("octoqueue.producer.workflow_client", "WorkflowClient"),
    "WorkflowContext": ("octoqueue.workflows.context", "Context"),
    "WorkflowHandle": ("octoqueue.producer.workflow_handles", "WorkflowHandle"),
    "actor": ("octoqueue.broker.actors", "actor"),
    "asend_many": ("octoqueue.producer.batch", "asend_many"),
    "checkpoint": ("octoqueue.broker.checkpoints", "checkpoint"),
    "current_batch": ("octoqueue.broker.context", "current_batch"),
    "current_message": ("octoqueue.broker.context", "current_message"),
    "enqueue_in": ("octoqueue.producer.outbox", "enqueue_in"),
    "gather": ("octoqueue.producer.gathering", "gather"),
    "get_broker": ("octoqueue.broker.default", "default_broker"),
    "periodic": ("octoqueue.broker.periodic", "periodic"),
    "send_many": ("octoqueue.producer.batch", "send_many"),
    "set_broker": ("octoqueue.broker.default", "use_broker"),
    "spent": ("octoqueue.broker.checkpoints", "spent"),
    "workflow": ("octoqueue.producer.workflows", "workflow"),
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name == "errors":
        return import_module("octoqueue.errors")
    if name == "__version__":
        return _version()
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'octoqueue' has no attribute {name!r}") from None
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 50 ms of imports

    try:
        return version("octoqueue")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
