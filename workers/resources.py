"""What actors need while they run: opened by a lifespan, one for each event loop.

An actor is a function in a module, so it cannot be handed what it needs; it asks here. Outside a
worker that entered the lifespan (dramatiq's own command line does not) there is nothing to get.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from octoqueue.errors import DeclarationError
from octoqueue.models.offline.model import OfflineModel
from octoqueue.models.protocol import ModelClient
from octoqueue.postgres.pool import PostgresPool
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_database
from octoqueue.workflows.task_protocol import TaskStore
from workers.bootstrap import opened_tasks
from workers.knowledge.search import Index, shipped_documents
from workers.sandbox.programs import CommandRules, installed_programs
from workers.sandbox.sandbox import Sandbox

T = TypeVar("T")
Opener = Callable[[Settings], AbstractAsyncContextManager[T]]
Lifespan = Callable[[Settings], AbstractAsyncContextManager[None]]


class Resource(Generic[T]):
    """One thing that an event loop has while its lifespan lasts."""

    def __init__(self, name: str, opener: Opener[T]) -> None:
        self._name = name
        self._opener = opener
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """Return the one of the running loop.

        Raises:
            DeclarationError: its lifespan was not entered.
        """
        try:
            return self._open[asyncio.get_running_loop()]
        except KeyError:
            raise DeclarationError(
                f"the {self._name} is not open here: run this actor with `octoqueue worker`"
            ) from None

    @asynccontextmanager
    async def lifespan(self, settings: Settings) -> AsyncGenerator[None]:
        """Have it open for the time of the block; entered twice, it is opened once."""
        loop = asyncio.get_running_loop()
        if loop in self._open:
            yield
            return
        async with self._opener(settings) as resource:
            self._open[loop] = resource
            try:
                yield
            finally:
                del self._open[loop]

    @asynccontextmanager
    async def replaced_by(self, resource: T) -> AsyncGenerator[None]:
        """Be something else for the time of the block: for tests."""
        loop = asyncio.get_running_loop()
        self._open[loop] = resource
        try:
            yield
        finally:
            del self._open[loop]


def lifespan_of(*resources: Resource[Any]) -> Lifespan:
    """Return the lifespan of a module that needs these."""

    @asynccontextmanager
    async def lifespan(settings: Settings) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for resource in resources:
                await stack.enter_async_context(resource.lifespan(settings))
            yield

    return lifespan


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """Where commands run, and which may."""

    sandbox: Sandbox
    rules: CommandRules


@asynccontextmanager
async def _tasks(settings: Settings) -> AsyncGenerator[TaskStore]:
    async with opened_tasks(settings, application_name="octoqueue worker") as tasks:
        yield tasks


@asynccontextmanager
async def _database(settings: Settings) -> AsyncGenerator[PostgresPool]:
    async with opened_database(settings, application_name="octoqueue admin") as pool:
        yield pool


@asynccontextmanager
async def _model(_settings: Settings) -> AsyncGenerator[ModelClient]:
    yield OfflineModel()


@asynccontextmanager
async def _workbench(_settings: Settings) -> AsyncGenerator[Workbench]:
    programs = await asyncio.to_thread(installed_programs)
    async with Sandbox() as sandbox:
        yield Workbench(sandbox=sandbox, rules=CommandRules(programs=programs))


@asynccontextmanager
async def _library(_settings: Settings) -> AsyncGenerator[Index]:
    yield Index(await asyncio.to_thread(shipped_documents))


TASKS: Final = Resource("task store", _tasks)
DATABASE: Final = Resource("database", _database)
MODEL: Final = Resource("model", _model)
WORKBENCH: Final = Resource("workbench", _workbench)
LIBRARY: Final = Resource("library", _library)
