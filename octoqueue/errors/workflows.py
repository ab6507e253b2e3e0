"""For whoever writes, starts, signals or runs workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.operating import NotThere
from octoqueue.errors.root import OctoqueueError
from octoqueue.errors.storing import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence


class WorkflowError(OctoqueueError):
    """A workflow cannot do what was asked."""


class WorkflowNotDeclared(WorkflowError):
    """This process has not imported the workflow function."""

    def __init__(self, name: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(
            f"workflow {name!r} is not declared in this process (there are: {listed}); "
            "import the module that declares it"
        )
        self.name = name


class WorkflowIdTaken(WorkflowError):
    """The workflow id belongs to another start."""

    def __init__(self, workflow_id: str, *, reason: str) -> None:
        super().__init__(f"workflow id {workflow_id!r} is taken: {reason}; choose another id")
        self.workflow_id = workflow_id


class WorkflowFinished(WorkflowError):
    """The workflow has ended, so nothing can be sent to it."""

    def __init__(self, workflow_id: str, *, execution_id: str, status: str) -> None:
        super().__init__(f"workflow {workflow_id!r} has ended: {status} (execution {execution_id})")
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.status = status


class WorkflowNotFinished(WorkflowError):
    """The workflow has not ended, so it cannot be retried."""

    def __init__(self, workflow_id: str, *, execution_id: str, status: str) -> None:
        super().__init__(
            f"workflow {workflow_id!r} has not ended: {status} (execution {execution_id}); "
            "cancel it first"
        )
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.status = status


class SignalUnknown(WorkflowError):
    """The workflow declares its signals, and this is none of them."""

    def __init__(self, workflow_id: str, signal: str, *, known: Sequence[str]) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(
            f"workflow {workflow_id!r} takes no signal {signal!r} (it takes: {listed})"
        )
        self.workflow_id = workflow_id
        self.signal = signal


class SignalInvalid(WorkflowError):
    """The value of a signal is not of the declared type."""

    def __init__(self, workflow_id: str, signal: str, *, reason: str) -> None:
        super().__init__(f"signal {signal!r} of workflow {workflow_id!r}: {reason}")
        self.workflow_id = workflow_id
        self.signal = signal


class SignalTimeout(WorkflowError):
    """No signal came within the time given."""

    def __init__(self, workflow_id: str, signal: str, *, step: str) -> None:
        super().__init__(f"workflow {workflow_id!r}: no signal {signal!r} came in time ({step})")
        self.workflow_id = workflow_id
        self.signal = signal
        self.step = step


class InputInvalid(WorkflowError):
    """The input or output of a workflow is not of the declared type."""

    def __init__(self, name: str, field: str, *, reason: str, workflow_id: str = "") -> None:
        of = f" (id {workflow_id!r})" if workflow_id else ""
        super().__init__(f"workflow {name!r}{of}: {field}: {reason}")
        self.name = name
        self.field = field
        self.workflow_id = workflow_id


class InputTooLarge(WorkflowError):
    """A workflow's input, output or a value between is over the limit."""

    def __init__(
        self, name: str, field: str, *, value_bytes: int, limit_bytes: int, workflow_id: str = ""
    ) -> None:
        of = f" (id {workflow_id!r})" if workflow_id else ""
        super().__init__(
            f"workflow {name!r}{of}: {field} has {value_bytes} bytes, the limit is {limit_bytes} "
            "(workflows.max_value_bytes); pass a reference to the data instead of the data"
        )
        self.name = name
        self.field = field
        self.value_bytes = value_bytes
        self.limit_bytes = limit_bytes
        self.workflow_id = workflow_id


class HistoryTooLong(WorkflowError):
    """An execution has more steps than it may have."""

    def __init__(self, workflow_id: str, *, execution_id: str, limit: int) -> None:
        super().__init__(
            f"execution {execution_id} of workflow {workflow_id!r} has reached {limit:,} steps "
            "(workflows.max_steps); let it continue as new with ctx.continue_as_new"
        )
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.limit = limit


class WorkflowChanged(WorkflowError):
    """The code does not do what its journal says it did."""

    def __init__(self, workflow_id: str, *, execution_id: str, step: str, reason: str) -> None:
        super().__init__(
            f"execution {execution_id} of workflow {workflow_id!r}, step {step}: {reason}; "
            "guard the change with ctx.patched(...), or declare a new version"
        )
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.step = step
        self.reason = reason


class HistoryUnreadable(WorkflowError):
    """A text is no exported history of an execution."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(
            f"this is no exported history: {'it' if field == 'history' else field} {reason}; "
            "'octoqueue workflows history ID --output FILE' writes one"
        )
        self.field = field
        """Where it is wrong, as `steps[3].kind`; `history` for the whole."""
        self.reason = reason


class WorkflowMisused(WorkflowError):
    """A workflow function did what cannot be replayed, such as waiting for anything but its ctx."""


class StepFailed(WorkflowError):
    """A step of a workflow failed for good; carries what its actor or function raised."""

    def __init__(
        self, *, step: str, name: str, error: str, detail: str = "", types: Sequence[str] = ()
    ) -> None:
        super().__init__(f"step {step} ({name}) failed: {error}: {detail}")
        self.step = step
        self.name = name
        self.error = error
        """The class of what was raised."""
        self.detail = detail
        """Its message."""
        self.types = tuple(types)
        """Its class and those it is derived from."""


class WorkflowFailed(WorkflowError):
    """A workflow ended without a result; carries what its function raised."""

    def __init__(
        self, workflow_id: str, *, execution_id: str, status: str, error: str, detail: str = ""
    ) -> None:
        super().__init__(
            f"workflow {workflow_id!r} ended as {status}: {error}: {detail} "
            f"(execution {execution_id})"
        )
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.status = status
        """`failed` or `cancelled`."""
        self.error = error
        """The class of what was raised."""
        self.detail = detail


class WorkflowUnknown(NotThere):
    """No workflow or execution of that id is kept."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"no workflow or execution {workflow_id!r} is kept")
        self.workflow_id = workflow_id


class StepUnknown(NotThere):
    """An execution has no step of that key."""

    def __init__(self, execution_id: str, step: str) -> None:
        super().__init__(
            f"execution {execution_id} has no step {step!r}; "
            "see octoqueue workflows history for its steps"
        )
        self.execution_id = execution_id
        self.step = step


class PartitionLost(StoreError):
    """Another orchestrator holds the partition now; nothing was written."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} is held by another orchestrator now")
        self.partition = partition
