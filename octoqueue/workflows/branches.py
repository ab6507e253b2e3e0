"""Branches: the coroutines of one execution, run by hand, one after the other.

A function is a branch; each thing it gathers is a branch of its own with a path of its own, which
its steps' keys begin with. Who runs next is decided by what happened and in which order, nothing
else, so a replay runs the branches in the same order.

What a branch yields is begun by the `Drives` it belongs to. A gathering ends when all its branches
have: after the first failure the others are told so by `Cancelled`, and may clean up.
"""

from __future__ import annotations

from collections import deque
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, Protocol

from octoqueue.errors import Cancelled, WorkflowMisused
from octoqueue.workflows.waits import Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from octoqueue.workflows.waits import Host, StepWait

_FOREIGN = (
    "a workflow function waited for {what}, which is not made by its ctx: use ctx.sleep instead "
    "of asyncio.sleep, ctx.gather instead of asyncio.gather, the timeout of ctx.signal instead "
    "of asyncio.timeout, and do all other waiting in actors or in ctx.run"
)
_TWICE = "a step of ctx was awaited twice: each await needs a call of its own"
_SHARED = "a coroutine was given to ctx.gather twice: each branch needs a call of its own"
_IN_VAIN = "a workflow function goes round and round without waiting for anything"
_MOST_IN_VAIN = 100_000
"""How often one branch may wait for nothing, or for what cannot be, before that is not meant."""
_SWALLOWED = (
    "a workflow function went on after ctx.continue_as_new: let what it raises pass through "
    "'except BaseException', bare 'except' and 'finally' blocks that wait or return"
)


_ANOTHER_FAILED = "another branch of what it was gathered with has failed"


class HardEnd(BaseException):
    """The function is closed where it is; carries why."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class ContinueAsNew(BaseException):
    """Ends an execution that goes on as a new one; no `except Exception` stops it."""


class Drives(Protocol):
    """Whom branches belong to."""

    @property
    def is_continuing(self) -> bool:
        """Whether the function has asked to continue as new."""
        ...

    def begin_step(self, branch: Branch, wait: StepWait[Any]) -> Exception | None:
        """Begin a step, after which the branch waits; return why it cannot begin."""
        ...

    def give_up(self, branch: Branch) -> None:
        """End the step a branch waits for, because nobody waits for it any more."""
        ...

    def check(self) -> None:
        """Raise what went wrong in a call of ctx that the function may have caught."""
        ...

    def trunk_ended(self, value: object, error: BaseException | None) -> None:
        """Hear how a branch ended that nothing has gathered."""
        ...


class Branch:
    """One coroutine, and where it stands."""

    __slots__ = (
        "count",
        "error",
        "has_begun",
        "has_strayed",
        "is_done",
        "is_ready",
        "key",
        "owner",
        "path",
        "place",
        "random",
        "routine",
        "value",
        "wait",
    )

    def __init__(
        self, path: str, routine: object, owner: Gathering | None = None, place: int = 0
    ) -> None:
        self.path = path
        """What the keys of its steps begin with."""
        self.count = 0
        """How many keys it has given."""
        self.routine: Any = routine
        self.owner = owner
        self.place = place
        """Which of its owner's branches it is."""
        self.wait: Wait[Any] | None = None
        """What it waits for."""
        self.key = ""
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_ready = False
        self.is_done = False
        self.has_begun = False
        self.has_strayed = False
        """Whether it has waited for something foreign."""
        self.random: Random | None = None

    def next_key(self) -> str:
        """Return the key of the next thing it does."""
        self.count += 1
        return f"{self.path}{self.count}"


class Gathering(Wait[Any]):
    """Several branches that are waited for together."""

    __slots__ = (
        "_begun",
        "_given",
        "_make",
        "_most",
        "_returns_exceptions",
        "_size",
        "active",
        "failure",
        "results",
        "waiter",
    )

    def __init__(
        self,
        host: Host,
        make: Callable[[int], Awaitable[Any]],
        *,
        size: int,
        given: tuple[Awaitable[Any], ...] = (),
        concurrency: int | None = None,
        return_exceptions: bool = False,
    ) -> None:
        super().__init__(host)
        self._given = given
        self._make = make
        self._size = size
        self._most = concurrency or size
        self._returns_exceptions = return_exceptions
        self._begun = 0
        self.results: list[Any] = [None] * size
        self.failure: BaseException | None = None
        """Why it fails, once all its branches have ended."""
        self.active: dict[int, Branch] = {}
        """Those that have begun and not ended, by place."""
        self.waiter: Branch | None = None

    def forget(self) -> None:
        """Close what was given and never begins."""
        for each in self._given:
            if iscoroutine(each):
                each.close()

    def next_branch(self) -> Branch | None:
        """Return the next branch that may begin now."""
        place = self._begun
        if self.failure is not None or place >= self._size or len(self.active) >= self._most:
            return None
        self._begun += 1
        try:
            made: Any = self._make(place)
            routine = made if iscoroutine(made) else made.__await__()
        except Exception as error:  # noqa: BLE001 - it is how that branch ends
            routine = _raising(error)
        path = f"{self.waiter.key if self.waiter else ''}.{place}."
        branch = self.active[place] = Branch(path, routine, self, place)
        return branch

    def take(self, branch: Branch, value: object, error: BaseException | None) -> bool:
        """Take how a branch ended; return whether the others are to be stopped because of it."""
        del self.active[branch.place]
        if self.failure is not None:
            return False
        if error is None:
            self.results[branch.place] = value
        elif self._returns_exceptions and isinstance(error, Exception):
            self.results[branch.place] = error
        else:
            self.failure = error
            return True
        return False


class Branches:
    """All branches of one execution."""

    __slots__ = ("_drives", "_ready", "current")

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._ready: deque[Branch] | None = None  # an empty one costs more than all the rest
        self.current: Branch | None = None
        """The one that runs right now."""

    def resume(
        self, branch: Branch, value: object = None, error: BaseException | None = None
    ) -> None:
        """Let a branch go on with a value or an error, when its turn comes."""
        branch.wait, branch.value, branch.error = None, value, error
        if not branch.is_ready:
            branch.is_ready = True
            if self._ready is None:
                self._ready = deque()
            self._ready.append(branch)

    def run(self) -> None:
        """Run until all branches wait or have ended.

        Raises:
            HardEnd: the function must not go on.
            WorkflowChanged: it does not do what its journal says.
        """
        while self._ready:
            branch = self._ready.popleft()
            branch.is_ready = False
            if not branch.is_done:
                self.current = branch
                try:
                    self._advance(branch)
                finally:
                    self.current = None
        self._ready = None

    def stop(self, branch: Branch, error: BaseException) -> None:
        """Throw an error into a branch where it waits; into the innermost ones first."""
        wait = branch.wait
        if branch.is_done:
            return
        if isinstance(wait, Gathering):
            wait.failure = error
            for each in list(wait.active.values()):
                self.stop(each, error)
            return
        if wait is not None:
            self._drives.give_up(branch)
        self.resume(branch, error=error)

    def close(self, branch: Branch) -> None:
        """End a branch and all it has gathered, without asking."""
        if branch.is_done:
            return
        branch.is_done = True
        wait = branch.wait
        if isinstance(wait, Gathering):
            for each in list(wait.active.values()):
                self.close(each)
        elif wait is not None:
            self._drives.give_up(branch)
        before, self.current = self.current, None
        try:
            _close(branch.routine)
        finally:
            self.current = before

    def _advance(self, branch: Branch) -> None:
        value, error = branch.value, branch.error
        branch.value = branch.error = None
        routine = branch.routine
        if not branch.has_begun:
            branch.has_begun = True
            if iscoroutine(routine) and getcoroutinestate(routine) != CORO_CREATED:
                self._ended(branch, None, WorkflowMisused(_SHARED))
                return
        for _ in range(_MOST_IN_VAIN):
            try:
                wait = routine.send(value) if error is None else routine.throw(error)
            except StopIteration as end:
                self._drives.check()
                self._ended(branch, end.value, None)
                return
            except (KeyboardInterrupt, HardEnd):
                raise
            except BaseException as raised:  # noqa: BLE001 - it is how the branch ends
                self._drives.check()
                self._ended(branch, None, raised)
                return
            self._drives.check()
            if self._drives.is_continuing:
                raise HardEnd(WorkflowMisused(_SWALLOWED))
            value, error = None, self._begin(branch, wait)
            if error is None:
                if branch.wait is not None:
                    return
                value = []  # a gathering of nothing
        raise HardEnd(WorkflowMisused(_IN_VAIN))

    def _begin(self, branch: Branch, yielded: object) -> Exception | None:
        """Begin what a branch has yielded; return what is to be thrown into it."""
        wait: Any = yielded
        if not isinstance(yielded, Wait) or not wait.is_of(self._drives):
            return self._strayed(branch, wait)
        if wait.is_used:
            return WorkflowMisused(_TWICE)
        wait.is_used = True
        if not isinstance(yielded, Gathering):
            return self._drives.begin_step(branch, wait)
        gathering = yielded
        branch.key, gathering.waiter = branch.next_key(), branch
        self._fill(gathering)
        branch.wait = gathering if gathering.active else None
        return None

    def _fill(self, gathering: Gathering) -> None:
        while (branch := gathering.next_branch()) is not None:
            self.resume(branch)

    def _strayed(self, branch: Branch, what: object) -> Exception:
        name = "nothing in particular" if what is None else f"a {type(what).__name__}"
        error = WorkflowMisused(_FOREIGN.format(what=name))
        if branch.has_strayed:  # it was told, and goes on
            raise HardEnd(error)
        branch.has_strayed = True
        return error

    def _ended(self, branch: Branch, value: object, error: BaseException | None) -> None:
        branch.is_done = True
        gathering = branch.owner
        if isinstance(error, ContinueAsNew):
            raise HardEnd(error)
        if self._drives.is_continuing:
            raise HardEnd(WorkflowMisused(_SWALLOWED))
        if gathering is None:
            self._drives.trunk_ended(value, error)
            return
        if gathering.take(branch, value, error):
            for each in list(gathering.active.values()):
                self.stop(each, Cancelled(_ANOTHER_FAILED))
        self._fill(gathering)
        if not gathering.active and gathering.waiter is not None:
            self.resume(gathering.waiter, gathering.results, gathering.failure)


def _close(routine: Any) -> None:  # noqa: ANN401 - a coroutine
    try:
        routine.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - it waits or raises, and nobody listens any more
        pass


def _raising(error: Exception) -> Any:  # noqa: ANN401 - a coroutine
    async def raises() -> None:
        raise error

    return raises()
