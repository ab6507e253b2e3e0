"""Redis servers for the contract: one alone (`redis_url`), and two clusters on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.redis_processes import cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def one_node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node: it refuses a script whose keys do not share a slot."""
    with cluster_of(1, tmp_path_factory.mktemp("one")) as servers:
        yield servers[0].url


@pytest.fixture(scope="session")
def three_node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of three nodes that share the slots."""
    with cluster_of(3, tmp_path_factory.mktemp("three")) as servers:
        yield servers[0].url
