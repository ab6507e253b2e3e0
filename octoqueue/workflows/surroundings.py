"""What a workflow function finds around itself: nothing of the process it happens to run in.

No event loop, so that asyncio refuses by itself; context variables of its own, so that executions
do not see each other's; async generators that no loop finishes behind its back; and its own time.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import Context
from typing import TYPE_CHECKING, Any

from octoqueue.errors import WorkflowMisused
from octoqueue.primitives.told_time import TOLD_MS
from octoqueue.workflows.failures import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_LOOP = "no running event loop"
_USE_CTX = (
    "a workflow function used asyncio: use ctx.sleep instead of asyncio.sleep, ctx.gather instead "
    "of asyncio.gather and tasks, and do all other waiting in actors or in ctx.run"
)
_OWN_CTX = "a workflow function used the ctx of another execution; each has its own"
_loops: Any = asyncio  # the pair of functions that event loops use to say that they run


class Surroundings:
    """Those of one execution."""

    __slots__ = ("_context", "_is_inside")

    def __init__(self) -> None:
        self._context = Context()
        self._is_inside = False

    def run(self, act: Callable[[], None], *, told_ms: int) -> None:
        """Call something that runs parts of the function."""
        if self._is_inside:
            act()
            return
        hooks = sys.get_asyncgen_hooks()
        loop = _loops._get_running_loop()  # noqa: SLF001
        sys.set_asyncgen_hooks(None, None)
        _loops._set_running_loop(None)  # noqa: SLF001
        self._is_inside = True
        try:
            self._context.run(_told, act, told_ms)
        finally:
            self._is_inside = False
            _loops._set_running_loop(loop)  # noqa: SLF001
            sys.set_asyncgen_hooks(*hooks)


def _told(act: Callable[[], None], told_ms: int) -> None:
    TOLD_MS.set(told_ms)
    act()


def misuse_behind(error: BaseException) -> WorkflowMisused | None:
    """Return what a function did wrong when an error is what came of that."""
    if isinstance(error, RuntimeError) and _NO_LOOP in text_of(error):
        said = _USE_CTX
    elif isinstance(error, GeneratorExit):
        said = _OWN_CTX
    else:
        return None
    misuse = WorkflowMisused(said)
    misuse.__cause__ = error
    return misuse
