"""`ObjectStore`: what a store of objects must do.

Every implementation runs the suite in `tests/contract/object_store.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class ObjectStore(Protocol):
    """Bytes by key; keys are paths without a leading slash.

    Every method raises `StoreUnavailable` when the store cannot be reached, and `ObjectsRefused`
    when it does not let us in or has no such bucket.
    """

    async def put(self, key: str, body: bytes) -> None:
        """Store an object, in place of one of that key."""
        ...

    async def get(self, key: str) -> bytes:
        """Return an object.

        Raises:
            ObjectMissing: there is none of that key (any more).
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there (any more) are as good as deleted."""
        ...

    async def keys_in(self, folder: str, *, limit: int) -> list[str]:
        """Return the keys below a folder, that many at most, in no order."""
        ...

    async def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""
        ...
