"""A journal as a story: what an execution did, in the order of its program, and what it waits for.

    1      call    reserve   completed
    2      gather  2 branches
    2.0.1    call    charge    failed     CardRefused: expired
    2.1.1    sleep   …         pending

Keys of steps are paths of counters, so the steps of a branch stand below the gather they belong
to. Gathers are no steps: they are seen only by what was begun in them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from octoqueue.primitives.body_json import value_from
from octoqueue.primitives.ids import text_from_id
from octoqueue.workflows.letters import queue_of
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Signal, Step
    from octoqueue.workflows.protocol import Loaded

GATHER: Final = "gather"
"""What stands where a kind of step would, for a line that is none."""
_EXCERPT_CHARACTERS: Final = 60
_RANKS: Final = {"patch": 1, "stop": 2, "compensate": 3}
"""How keys begin that are no places in the program, in the order in which they are shown."""
_GRAVEST: Final = (
    StepStatus.PENDING,
    StepStatus.FAILED,
    StepStatus.CANCELLED,
    StepStatus.COMPLETED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step, or a gather around some."""

    key: str
    depth: int
    """How many gathers it is in."""
    kind: str
    """The kind of step, or `gather`."""
    name: str
    status: StepStatus
    """Of a gather: that of its gravest step."""
    began_at_ms: int
    ended_at_ms: int | None
    """None while it is pending."""
    attempts: int
    note: str
    """What it gave, why it failed or what it waits for, cut short."""

    def took_ms(self, *, now_ms: int) -> int:
        """Return how long it took, or has taken so far."""
        return max(0, (now_ms if self.ended_at_ms is None else self.ended_at_ms) - self.began_at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Something an execution waits for."""

    step: str
    """The key; empty when it waits as a whole."""
    why: str
    """What for, as the end of a sentence."""
    since_ms: int
    until_ms: int | None = None
    """When it ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What happened to an execution."""

    lines: tuple[Line, ...]
    """In the order of the program."""
    waits: tuple[Wait, ...]
    """What it waits for, soonest begun first; empty when it has ended."""


def timeline_of(loaded: Loaded) -> Timeline:
    """Return what happened to an execution."""
    steps = sorted(loaded.steps, key=lambda step: _place(step.key))
    lines = [*map(_line, steps), *_gathers(steps)]
    lines.sort(key=lambda line: _place(line.key))
    return Timeline(lines=tuple(lines), waits=tuple(waits_of(loaded)))


def waits_of(loaded: Loaded) -> list[Wait]:
    """Return what an execution waits for, soonest begun first; nothing when it has ended."""
    execution = loaded.execution
    if execution.is_final:
        return []
    if execution.status is ExecutionStatus.BLOCKED:
        return [Wait(step="", why=failure_text(execution.error), since_ms=_last_ms(loaded))]
    if execution.status is ExecutionStatus.QUEUED:
        letters = queue_of(execution.partition)
        why = f"an orchestrator that begins it (its letter is in queue {letters})"
        return [Wait(step="", why=why, since_ms=_created_ms(execution))]
    pending = [step for step in loaded.steps if step.status is StepStatus.PENDING]
    waits = [_wait(step) for step in sorted(pending, key=lambda step: step.began_at_ms)]
    waits += [_untaken(signal) for signal in loaded.signals if signal.kind is SignalKind.CANCEL]
    return waits


def failure_text(error: bytes | None) -> str:
    """Return a journaled error as people read it, empty when there is none."""
    if error is None:
        return ""
    told = _object_of(error)
    if told is None:
        return excerpt(error)
    return f"{told.get('error', '')}: {told.get('message', '')}".strip(": ")


def excerpt(value: bytes | None, *, most: int = _EXCERPT_CHARACTERS) -> str:
    """Return the beginning of a journaled value, empty when there is none."""
    if value is None:
        return ""
    text = value.decode(errors="replace").strip()
    return text if len(text) <= most else text[: most - 1] + "…"


# ── lines ────────────────────────────────────────────────────────────────────────────────────────


def _line(step: Step) -> Line:
    note = failure_text(step.error)
    if not note and step.status is StepStatus.PENDING:
        note = f"waits for {_why(step)}"
    return Line(
        key=step.key,
        depth=len(_above(step.key)),
        kind=step.kind.value,
        name=step.name,
        status=step.status,
        began_at_ms=step.began_at_ms,
        ended_at_ms=step.ended_at_ms,
        attempts=step.attempts,
        note=note or excerpt(step.input if step.kind is StepKind.CANCEL else step.output),
    )


def _gathers(steps: Sequence[Step]) -> Iterable[Line]:
    """Return a line for each gather that the keys of steps tell of."""
    known = {step.key for step in steps}
    inside: dict[str, list[Step]] = {}
    for step in steps:
        for key in _above(step.key):
            if key not in known:
                inside.setdefault(key, []).append(step)
    for key, members in inside.items():
        branches = len({_branch(step.key, of=key) for step in members})
        status = min((step.status for step in members), key=_GRAVEST.index)
        ended = [step.ended_at_ms for step in members if step.ended_at_ms is not None]
        yield Line(
            key=key,
            depth=len(_above(key)),
            kind=GATHER,
            name=f"{branches} branches" if branches > 1 else "1 branch",
            status=status,
            began_at_ms=min(step.began_at_ms for step in members),
            ended_at_ms=None if status is StepStatus.PENDING or not ended else max(ended),
            attempts=0,
            note="",
        )


def _above(key: str) -> list[str]:
    """Return the keys of the gathers a step is in: of `3.0.1.4.2` these are `3` and `3.0.1`."""
    parts = key.split(".")
    if not all(map(_is_counter, parts)):  # stop.1, compensate.2, patch.name: in no gather
        return []
    return [".".join(parts[:end]) for end in range(1, len(parts) - 1, 2)]


def _is_counter(part: str) -> bool:
    return part.isdecimal() and part.isascii()


def _branch(key: str, *, of: str) -> str:
    return key.removeprefix(f"{of}.").partition(".")[0]


def _place(key: str) -> list[tuple[int, int, str]]:
    """Return what sorts keys: by number, each counter for itself; words behind numbers."""
    return [
        (0, int(part), "") if _is_counter(part) else (_RANKS.get(part, len(_RANKS)), 0, part)
        for part in key.split(".")
    ]


# ── waits ────────────────────────────────────────────────────────────────────────────────────────


def _wait(step: Step) -> Wait:
    return Wait(step=step.key, why=_why(step), since_ms=step.began_at_ms, until_ms=step.due_at_ms)


def _why(step: Step) -> str:
    match step.kind:
        case StepKind.CALL:
            queue = _queue_of(step)
            where = f" in queue {queue}" if queue else ""
            named = "" if step.message_id is None else f", message {text_from_id(step.message_id)}"
            return f"actor {step.name}{where}{named}"
        case StepKind.RUN:
            return f"function {step.name}, which its orchestrator runs"
        case StepKind.SLEEP:
            return "time to pass"
        case StepKind.SIGNAL:
            return f"signal {step.name}"
        case StepKind.CHILD:
            child = "" if step.child_id is None else f", execution {step.child_id}"
            return f"workflow {step.name}{child}"
        case StepKind.EVENT | StepKind.PATCH | StepKind.CANCEL:
            return f"{step.kind.value} {step.name}"


def _queue_of(step: Step) -> str:
    told = None if step.input is None else _object_of(step.input)
    queue: object = told.get("queue") if told is not None else None
    return queue if isinstance(queue, str) else ""


def _untaken(signal: Signal) -> Wait:
    return Wait(step="", why="its orchestrator to take the cancel", since_ms=signal.sent_at_ms)


def _last_ms(loaded: Loaded) -> int:
    """Return when something last happened to it, as far as the journal tells."""
    told = [step.ended_at_ms or step.began_at_ms for step in loaded.steps]
    return max(told, default=_created_ms(loaded.execution))


def _created_ms(execution: Execution) -> int:
    return round(execution.created_at.timestamp() * 1000)


def _object_of(text: bytes) -> dict[str, object] | None:
    """Return the object that a text is the JSON of, None when it is something else."""
    try:
        value: object = value_from(text)
    except ValueError:
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None
