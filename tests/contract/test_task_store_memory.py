from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_tasks import MemoryTaskStore
from tests.contract.task_store import TaskStoreContract

if TYPE_CHECKING:
    from octoqueue.workflows.task_protocol import TaskStore


class TestMemoryTaskStore(TaskStoreContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> TaskStore:
        return MemoryTaskStore(clock=clock)
