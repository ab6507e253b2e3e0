"""Where the workflows of a configuration are kept, for commands: opened, nudged."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from octoqueue.broker.workflow_objects import with_large_values
from octoqueue.cli.agent_place import state_dir_of
from octoqueue.cli.reading import store_of
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import StoreError, StoreUnavailable
from octoqueue.primitives.clock import SystemClock
from octoqueue.producer.nudging import nudge
from octoqueue.settings.root import Settings
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.opening import opened_workflow_store
from octoqueue.workflows.protocol import WorkflowStore


@asynccontextmanager
async def opened_workflows(settings: Settings) -> AsyncGenerator[WorkflowStore]:
    """Open the store of workflows that the configuration means; start nothing.

    Raises:
        StoreUnavailable: no URL is configured, and no private PostgreSQL is running.
    """
    url: str | None = None
    if not settings.workflows.shards:
        url = settings.postgres.url or await _private_postgres(settings)
    opening = opened_workflow_store(settings, url=url, application_name="octoqueue workflows")
    async with opening as store:
        yield with_large_values(store, settings)


async def nudged(settings: Settings, execution: Execution) -> str | None:
    """Make the orchestrator of an execution look at it now; return why not, when it was not told.

    What there is to see stands in PostgreSQL, so a letter that is not sent only delays.
    """
    try:
        async with store_of(settings) as lanes:
            why_not = await nudge(lanes, execution, now_ms=SystemClock().now_ms())
    except StoreError as error:
        why_not = error
    return None if why_not is None else str(why_not)


def fleet_modules(settings: Settings) -> list[str]:
    """Return the modules of the configured fleets, each once."""
    found = {module: None for fleet in settings.fleets.values() for module in fleet.modules}
    return list(found)


async def _private_postgres(settings: Settings) -> str:
    for status in await EmbeddedServices(state_dir_of(settings)).status():
        if status.name == "postgres" and status.readiness is Readiness.READY and status.url:
            return status.url
    raise StoreUnavailable(
        "PostgreSQL",
        reason="no OCTOQUEUE_POSTGRES_URL is set and no private one is running; "
        "'octoqueue up' or 'octoqueue orchestrator' starts one",
    )
