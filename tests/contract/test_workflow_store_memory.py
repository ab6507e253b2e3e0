from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from tests.contract.workflow_store import WorkflowStoreContract

if TYPE_CHECKING:
    from datetime import timedelta

    from octoqueue.workflows.protocol import WorkflowStore
    from tests.contract.workflow_holds import Ages


class TestMemoryWorkflowStore(WorkflowStoreContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> WorkflowStore:
        return MemoryWorkflowStore(clock=clock)

    @pytest.fixture
    def age(self, clock: FakeClock) -> Ages:
        async def age(by: timedelta) -> None:
            clock.advance(by)

        return age
