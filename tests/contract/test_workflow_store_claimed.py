"""A store whose values are objects elsewhere keeps the same promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_objects import MemoryObjects
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.claimed_values import ClaimedValues
from tests.contract.workflow_store import WorkflowStoreContract

if TYPE_CHECKING:
    from datetime import timedelta

    from tests.contract.workflow_holds import Ages


class TestClaimedValues(WorkflowStoreContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> ClaimedValues:
        return ClaimedValues(MemoryWorkflowStore(clock=clock), MemoryObjects(), max_bytes=0)

    @pytest.fixture
    def age(self, clock: FakeClock) -> Ages:
        async def age(by: timedelta) -> None:
            clock.advance(by)

        return age
