"""`MemoryObjects`: an `ObjectStore` in a dictionary, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import ObjectMissing

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryObjects:
    """Implements `octoqueue.storage.protocol.ObjectStore`."""

    def __init__(self) -> None:
        """Start empty."""
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        self.objects[key] = body

    async def get(self, key: str) -> bytes:
        """Return an object."""
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectMissing(key) from None

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for key in keys:
            self.objects.pop(key, None)

    async def keys_in(self, folder: str, *, limit: int) -> list[str]:
        """Return the keys below a folder."""
        return [key for key in self.objects if key.startswith(f"{folder}/")][:limit]

    async def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        below = [key.removeprefix(f"{folder}/") for key in await self.keys_in(folder, limit=2**63)]
        return sorted({rest.split("/", 1)[0] for rest in below if "/" in rest})
