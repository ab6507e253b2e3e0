"""The pytest plugin of octoqueue; it is there as soon as octoqueue is installed.

It adds two fixtures and nothing else, and loads nothing of octoqueue before one is used. Switch it
off with `-p no:octoqueue`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.testing.lane_queue import LaneQueue


@pytest.fixture
def octoqueue_broker() -> LaneBroker:
    """The broker whose actors are tested: the process-wide one. Override it to give another."""
    from octoqueue.broker.default import default_broker  # noqa: PLC0415 - when it is used

    return default_broker()


@pytest.fixture
def lane_queue(octoqueue_broker: LaneBroker) -> Generator[LaneQueue]:
    """The queues of the broker, empty and in memory for the length of the test."""
    from octoqueue.testing.lane_queue import in_memory  # noqa: PLC0415 - when it is used

    with in_memory(octoqueue_broker) as queue:
        yield queue
