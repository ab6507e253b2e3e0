"""`Drive`: the function of one execution, its branches, and how it ends. Pure.

A cancel, a deadline and too many steps *stop* the function: an error is thrown into it where it
waits. It may catch that and clean up, or even go on; the second time it is not asked any more and
closed. When it has failed or was stopped, its compensations run, the last one first.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from octoqueue.errors import (
    Cancelled,
    InputTooLarge,
    StepFailed,
    WorkflowError,
)
from octoqueue.workflows.branches import Branch, Branches, ContinueAsNew, HardEnd
from octoqueue.workflows.context import Context
from octoqueue.workflows.failures import error_json, failure_of
from octoqueue.workflows.ledger import Ledger
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from octoqueue.workflows.stops import CANCEL, HISTORY, stop_error
from octoqueue.workflows.surroundings import Surroundings, misuse_behind
from octoqueue.workflows.values import NULL
from octoqueue.workflows.waits import Plan, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.limits import Limits
    from octoqueue.workflows.waits import CallWait, StepWait

_NO_DIGEST = digest_of()
_MOST_INSISTING = 1_000
"""How often a function that is closed may catch that and wait again."""


class Outcome(NamedTuple):
    """How an execution has ended."""

    status: ExecutionStatus
    output: bytes | None = None
    """With COMPLETED."""
    error: bytes | None = None
    next_input: bytes | None = None
    """With CONTINUED."""


class Drive:
    """One function that runs."""

    __slots__ = (
        "_branches",
        "_compensations",
        "_error_in_ctx",
        "_failure",
        "_insisted",
        "_is_full",
        "_is_undoing",
        "_limits",
        "_next_input",
        "_patches",
        "_seed",
        "_stops",
        "_surroundings",
        "_trunk",
        "definition",
        "execution",
        "ledger",
        "now_ms",
        "outcome",
        "prompt",
        "starts_at_ms",
        "waiting",
    )

    def __init__(self, definition: Definition, execution: Execution, *, limits: Limits) -> None:
        self.definition = definition
        self.execution = execution
        self.ledger = Ledger(execution)
        self.waiting: dict[str, Branch] = {}
        """Which branch waits for a pending step."""
        self.prompt: deque[str] | None = None
        """Steps of this turn that may end in it: sleeps that are over, signals that came before."""
        self.now_ms = 0
        """The time the function is told."""
        self.starts_at_ms = 0
        """When what begins now begins; in the turn that begins a retry not the time it is told."""
        self.outcome: Outcome | None = None
        self._limits = limits
        self._surroundings = Surroundings()
        self._insisted = 0
        self._branches = Branches(self)
        self._trunk: Branch | None = None
        """The branch that nothing has gathered: the function, later its compensations."""
        self._seed = b""
        self._patches: dict[str, bool] | None = None
        self._compensations: list[CallWait[Any]] | None = None
        self._stops: list[str] | None = None
        """Why it was stopped, each time."""
        self._is_full = False
        """Whether a step could not begin because there are too many."""
        self._is_undoing = False
        self._failure: BaseException | None = None
        self._next_input: bytes | None = None
        self._error_in_ctx: BaseException | None = None

    # ── for the machine ──────────────────────────────────────────────────────────────────────────

    def start(self, now_ms: int) -> None:
        """Make the function run, from its beginning, at that time."""
        execution, definition = self.execution, self.definition
        self.now_ms = now_ms
        self._seed = digest_of(execution.workflow_id.encode(), b"%d" % now_ms, execution.input)
        try:
            args: tuple[Any, ...] = ()
            if definition.takes_input:
                args = (definition.input_of(execution.input, workflow_id=execution.workflow_id),)
        except WorkflowError as error:
            self._fail(error)
            return
        self._trunk = Branch("", definition.function(Context(self), *args))
        self._branches.resume(self._trunk)

    def run(self) -> None:
        """Run until all branches wait or the execution has ended.

        Raises:
            WorkflowChanged: the function does not do what its journal says.
        """
        self._surroundings.run(self._go_on, told_ms=self.now_ms)

    def tell(self, step: Step) -> None:
        """Give the function what a step that has ended gave."""
        branch = self.waiting.pop(step.key)
        wait: Any = branch.wait
        value: object = None
        error: BaseException | None = None
        if step.status is StepStatus.COMPLETED:
            try:
                value = wait.result(step.output or NULL)
            except Exception as raised:  # noqa: BLE001 - it is raised where the function waits
                error = raised
        else:
            error = failure_of(step, workflow_id=self.execution.workflow_id)
        self._branches.resume(branch, value, error)

    @property
    def may_be_stopped(self) -> bool:
        """Whether the function runs: not its compensations, and not ended."""
        return self.outcome is None and not self._is_undoing

    def was_stopped_by(self, cause: str) -> bool:
        """Whether it was stopped for that reason before."""
        return self._stops is not None and cause in self._stops

    def stop(self, cause: str, told: bytes | None) -> None:
        """Throw an error into the function where it waits; close it, the second time."""
        stops = self._stops = self._stops or []
        stops.append(cause)
        key = f"stop.{len(stops)}"
        self.ledger.note(
            key, Plan(StepKind.CANCEL, cause, _NO_DIGEST, told), now_ms=self.starts_at_ms
        )
        self._is_full = False
        error = stop_error(cause, told, self.execution, most_steps=self._limits.max_steps)
        if self._trunk is None:
            self._fail(error)
        elif len(stops) == 1:
            self._branches.stop(self._trunk, error)
        else:
            self._close_trunk()
            self._fail(error)

    def close(self) -> None:
        """Let go of the function; it is not asked."""
        if self._trunk is not None and self.outcome is None:
            self.outcome = Outcome(self.execution.status)
            self._close_trunk()

    # ── for branches ─────────────────────────────────────────────────────────────────────────────

    @property
    def is_continuing(self) -> bool:
        """Whether the function has asked to continue as new."""
        return self._next_input is not None

    def begin_step(self, branch: Branch, wait: StepWait[Any]) -> Exception | None:
        """Begin a step, after which the branch waits; return why it cannot begin."""
        key = branch.next_key()
        try:
            plan = wait.plan(key)
        except Exception as error:  # noqa: BLE001 - it is raised where the function waits
            known = self.ledger.known(key)
            if known is None:
                return error
            # It could begin once, so it can now: limits, and what `using` accepts, change in time.
            plan = Plan(known.kind, known.name, known.digest)
        branch.wait, branch.key = wait, key
        if self._has_no_room(key):
            if self.was_stopped_by(HISTORY):
                raise HardEnd(
                    stop_error(HISTORY, None, self.execution, most_steps=self._limits.max_steps)
                )
            self._is_full = True
            return None
        self.ledger.begin(key, plan, now_ms=self.starts_at_ms)
        self.waiting[key] = branch
        if plan.kind is StepKind.SIGNAL or (
            plan.kind is StepKind.SLEEP and (plan.due_at_ms or 0) <= self.starts_at_ms
        ):
            self.prompt = self.prompt or deque()
            self.prompt.append(key)
        return None

    def give_up(self, branch: Branch) -> None:
        """End the step a branch waits for, because nobody waits for it any more."""
        if self.waiting.pop(branch.key, None) is not None and self.outcome is None:
            self.ledger.give_up(branch.key, now_ms=self.starts_at_ms)

    def check(self) -> None:
        """Raise what went wrong in a call of ctx that the function may have caught."""
        if self._error_in_ctx is not None:
            raise self._error_in_ctx

    def trunk_ended(self, value: object, error: BaseException | None) -> None:
        """Hear that the function has ended, or that its compensations have."""
        if self._is_undoing:
            self._end_failed()
        elif error is not None:
            self._fail(error)
        else:
            try:
                output = self.definition.output_from(value, workflow_id=self.execution.workflow_id)
                self.fitting(output, field="its output")
            except WorkflowError as refusal:
                self._fail(refusal)
            else:
                self.outcome = Outcome(ExecutionStatus.COMPLETED, output)

    # ── for the context and its waits ────────────────────────────────────────────────────────────

    @property
    def is_driving(self) -> bool:
        """Whether the function runs right now."""
        return self._branches.current is not None

    def may_insist(self) -> bool:
        """Return whether a wait that cannot be is told so once more, not left hanging."""
        self._insisted += 1
        return self._insisted <= _MOST_INSISTING

    @property
    def is_replaying(self) -> bool:
        """Whether a journal is being followed."""
        return self.ledger.is_replaying

    def fitting(self, text: bytes, *, field: str, is_sent: bool = False) -> bytes:
        """Return a value that is not over the limit; what is sent cannot be an object instead.

        Raises:
            InputTooLarge: it is.
        """
        is_bounded = is_sent or self._limits.over_limit == "refuse"
        if is_bounded and len(text) > self._limits.max_value_bytes:
            raise InputTooLarge(
                self.definition.name,
                field,
                value_bytes=len(text),
                limit_bytes=self._limits.max_value_bytes,
                workflow_id=self.execution.workflow_id,
            )
        return text

    def emit(self, text: bytes) -> None:
        """Tell the caller something."""
        branch = self._running()
        key = branch.next_key()
        if self._has_no_room(key):
            self._is_full = True
            return
        plan = Plan(StepKind.EVENT, "event", digest_of(text))
        self._noted(key, plan, output=text)

    def patched(self, name: str) -> bool:
        """Return whether this execution has a change."""
        self._running()
        patches = self._patches = self._patches or {}
        known = patches.get(name)
        if known is None:
            key = f"patch.{name}"
            known = patches[name] = self.ledger.takes_patch(key)
            if known:
                self._noted(key, Plan(StepKind.PATCH, name, _NO_DIGEST))
        return known

    def on_failure(self, wait: CallWait[Any]) -> None:
        """Keep a compensation.

        Raises:
            InputInvalid: it could never be called.
            InputTooLarge: likewise.
        """
        self._running()
        wait.plan("compensate")
        self._compensations = self._compensations or []
        self._compensations.append(wait)

    def continue_as_new(self, text: bytes) -> None:
        """Keep the input of the next execution."""
        self._running()
        self._next_input = text

    def random_of_branch(self, make: Callable[[bytes], Random]) -> Random:
        """Return the source of the branch that runs."""
        branch = self._running()
        if branch.random is None:
            branch.random = make(digest_of(self._seed, branch.path.encode()))
        return branch.random

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _running(self) -> Branch:
        branch = self._branches.current
        if branch is None:
            raise GeneratorExit  # it is being closed, or the ctx was given away
        return branch

    def _noted(self, key: str, plan: Plan, *, output: bytes | None = None) -> None:
        try:
            self.ledger.note(key, plan, now_ms=self.starts_at_ms, output=output)
        except BaseException as error:
            self._error_in_ctx = error  # the function may catch it; the turn must not
            raise

    def _has_no_room(self, key: str) -> bool:
        ledger = self.ledger
        if self._is_undoing or ledger.known(key) is not None:
            return False
        if ledger.is_strict:
            return ledger.stops_at_limit()
        return ledger.begun >= self._limits.max_steps

    def _close_trunk(self) -> None:
        if self._trunk is not None:
            close = partial(self._branches.close, self._trunk)
            self._surroundings.run(close, told_ms=self.now_ms)

    def _go_on(self) -> None:
        while self._went_on():
            pass

    def _went_on(self) -> bool:
        """Run what can run; return whether there may be more."""
        try:
            self._branches.run()
        except HardEnd as end:
            self._close_trunk()
            self._fail(end.error)
            return True
        if self._is_full and self.may_be_stopped and not self.ledger.is_replaying:
            self.stop(HISTORY, None)
            return True
        return False

    def _fail(self, error: BaseException) -> None:
        """End the function with an error; what there is to undo is undone first."""
        if isinstance(error, ContinueAsNew):
            self.outcome = Outcome(ExecutionStatus.CONTINUED, next_input=self._next_input)
            return
        self._next_input = None
        self._is_full = False
        self._failure = misuse_behind(error) or error
        if not self._compensations:
            self._end_failed()
            return
        self._is_undoing = True
        self._trunk = Branch("compensate.", self._undo())
        self._branches.resume(self._trunk)

    async def _undo(self) -> None:
        for wait in reversed(self._compensations or ()):
            try:
                await wait
            except (StepFailed, Exception):  # noqa: BLE001, S112 - it stands in the history
                continue

    def _end_failed(self) -> None:
        error = self._failure or RuntimeError("nothing is known about it")
        is_cancelled = isinstance(error, Cancelled) or self.was_stopped_by(CANCEL)
        status = ExecutionStatus.CANCELLED if is_cancelled else ExecutionStatus.FAILED
        self.outcome = Outcome(status, error=error_json(error))
