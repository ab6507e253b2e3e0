"""The contract of `ObjectStore`: every implementation runs this class."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import ObjectMissing

if TYPE_CHECKING:
    from octoqueue.storage.protocol import ObjectStore


class ObjectStoreContract:
    """A subclass gives the fixture `objects`: an empty store."""

    async def test_what_was_put_is_got(self, objects: ObjectStore) -> None:
        for body in (b"", b"one", bytes(range(256)) * 4_096):
            await objects.put("results/2026-01-01/a", body)
            assert await objects.get("results/2026-01-01/a") == body

    async def test_many_are_put_and_got_at_the_same_time(self, objects: ObjectStore) -> None:
        keys = [f"results/2026-01-0{number % 9 + 1}/{number}" for number in range(100)]
        await asyncio.gather(*(objects.put(key, key.encode()) for key in keys))
        bodies = await asyncio.gather(*map(objects.get, keys))
        assert bodies == [key.encode() for key in keys]

    async def test_what_is_not_there_is_missing(self, objects: ObjectStore) -> None:
        with pytest.raises(ObjectMissing, match="results/none"):
            await objects.get("results/none")

    async def test_what_was_deleted_is_missing(self, objects: ObjectStore) -> None:
        await objects.put("a/b", b"1")
        await objects.put("a/c", b"2")
        await objects.delete(["a/b"])
        with pytest.raises(ObjectMissing):
            await objects.get("a/b")
        assert await objects.get("a/c") == b"2"

    async def test_deleting_what_is_gone_deletes_the_others(self, objects: ObjectStore) -> None:
        await objects.put("a/b", b"1")
        await objects.put("a/d", b"2")
        await objects.delete(["a/a", "a/b", "a/c", "a/d"])
        await objects.delete(["a/a", "a/b"])
        await objects.delete([])
        assert await objects.keys_in("a", limit=10) == []

    async def test_keys_are_those_below_a_folder_up_to_a_limit(self, objects: ObjectStore) -> None:
        keys = {f"a/b/{number}" for number in range(20)}
        for key in (*keys, "a/bc/1", "b/1"):
            await objects.put(key, b"")
        assert set(await objects.keys_in("a/b", limit=100)) == keys
        some = await objects.keys_in("a/b", limit=7)
        assert len(set(some)) == 7
        assert keys.issuperset(some)
        assert await objects.keys_in("c", limit=7) == []

    async def test_folders_are_those_that_hold_something_sorted(self, objects: ObjectStore) -> None:
        for key in ("a/c/1", "a/b/1", "a/b/2", "a/d", "e/f/g"):
            await objects.put(key, b"")
        assert await objects.folders("a") == ["b", "c"]
        await objects.delete(["a/c/1"])
        assert await objects.folders("a") == ["b"]
        assert await objects.folders("nothing") == []
