from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.storage.objects import objects_at
from octoqueue.testing.memory_objects import MemoryObjects
from tests.contract.object_store import ObjectStoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.storage.protocol import ObjectStore


class TestMemoryObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self) -> ObjectStore:
        return MemoryObjects()


class TestObjectsInAFolder(ObjectStoreContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> ObjectStore:
        return objects_at((tmp_path / "of a user" / "objects").as_uri())


class TestObjectsInMemory(ObjectStoreContract):
    @pytest.fixture
    def objects(self) -> ObjectStore:
        return objects_at("memory:///")
