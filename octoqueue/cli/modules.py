"""A user's modules: importing them, and saying in one line why one cannot be imported.

A module may have a `lifespan`: an async context manager made from the `Settings`, which a worker
enters before its first message and leaves after its last. What an actor needs once a process (a
connection pool, a model) is opened there:

    @asynccontextmanager
    async def lifespan(settings: Settings) -> AsyncIterator[None]:
        async with httpx.AsyncClient() as app.client:
            yield

Modules that share one object as their `lifespan` enter it once.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from octoqueue.errors import ModuleUnusable, OctoqueueError
from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

Lifespan = Callable[[Settings], AbstractAsyncContextManager[Any]]

_OURS: Final = Path(__file__).parents[1]


def import_modules(names: Sequence[str]) -> list[ModuleType]:
    """Import modules, also from the working directory.

    Raises:
        ModuleUnusable: one cannot be imported; says why, and where in it.
    """
    _look_in(Path.cwd())
    return [_import(name) for name in names]


def import_target(target: str) -> object:
    """Return the object that `module:attribute` names, also from the working directory.

    Raises:
        ModuleUnusable: there is none.
    """
    name, _, path = target.partition(":")
    (found,) = import_modules([name])
    value: object = found
    for attribute in path.split("."):
        try:
            value = getattr(value, attribute)
        except AttributeError:
            raise ModuleUnusable(name, f"has no {path!r}") from None
    return value


@contextmanager
def blaming(name: str, what: str) -> Generator[None]:
    """Tell in one line what code of `name` raises; errors of ours say enough as they are.

    Raises:
        ModuleUnusable: it raised something else; says what, and where in it.
    """
    try:
        yield
    except OctoqueueError:
        raise
    except Exception as error:
        log.debug("code_failed", extra={"of": name}, exc_info=error)
        raise ModuleUnusable(name, f"{what}: {_what(error)}{_place(error)}") from error


def _look_in(directory: Path) -> None:
    # In front, as `python -m` has it: the user's modules win over installed ones of that name.
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _import(name: str) -> ModuleType:
    if not _is_dotted(name):
        guess = ".".join(Path(name).with_suffix("").parts)
        dotted = guess if _is_dotted(guess) else "my_app.actors"
        raise ModuleUnusable(name, f"is no module: write its dotted path, as {dotted}")
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        log.debug("import_failed", extra={"of": name}, exc_info=error)
        raise ModuleUnusable(name, _reason(name, error)) from error


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _reason(name: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
        return _not_there(name, str(error.name))
    return f"cannot be imported: {_what(error)}{_place(error)}"


def _not_there(name: str, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    if last == "py" and name == missing:
        return f"is a file, not a module: write {parent}"
    if parent in sys.modules:
        return f"cannot be found: {parent} has no {last!r}"
    return (
        f"cannot be found: it is neither installed nor in {Path.cwd()}; "
        "go to the folder that holds it, or set PYTHONPATH"
    )


def _what(error: BaseException) -> str:
    if isinstance(error, OctoqueueError):
        return str(error)
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {told}"


def _place(error: BaseException) -> str:
    """Return where it went wrong in the user's own code, empty when it was not there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({_shown(error.filename)}:{error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "importlib" not in frame.filename and not Path(frame.filename).is_relative_to(_OURS):
            return f" ({_shown(frame.filename)}:{frame.lineno})"
    return ""


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


@asynccontextmanager
async def lifespans(modules: Sequence[ModuleType], settings: Settings) -> AsyncGenerator[None]:
    """Enter the `lifespan` of each module that has one; leave them in reverse order.

    Raises:
        ModuleUnusable: one of them failed to begin.
    """
    entered: set[int] = set()
    async with AsyncExitStack() as stack:
        for module in modules:
            lifespan = cast("Lifespan | None", getattr(module, "lifespan", None))
            if lifespan is None or id(lifespan) in entered:
                continue
            entered.add(id(lifespan))
            with blaming(module.__name__, "has a lifespan that failed"):
                await stack.enter_async_context(lifespan(settings))
        yield
