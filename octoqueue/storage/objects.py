"""`Objects`: an `ObjectStore` in S3, GCS, Azure, a folder or memory, through obstore.

Credentials and endpoints come from the usual variables of each cloud (`AWS_…`, `GOOGLE_…`,
`AZURE_…`); nothing of them stands in our configuration.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import from_url

from octoqueue.errors import (
    ConfigError,
    ObjectMissing,
    ObjectsRefused,
    StoreError,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from obstore.store import ObjectStore as ForeignStore

_STORE = "the object store"
_REFUSED = (PermissionDeniedError, UnauthenticatedError, NotSupportedError, PermissionError)
_FAILURES = (BaseError, OSError)
_AT_ONCE = 1_000

# Typed by way of pyarrow, which is not installed.
_list: Any = getattr(obstore, "list")  # noqa: B009 - untyped
_list_folders: Any = getattr(obstore, "list_with_delimiter_async")  # noqa: B009 - untyped


class Objects:
    """Implements `octoqueue.storage.protocol.ObjectStore`."""

    def __init__(self, store: ForeignStore) -> None:
        """Use a store of obstore's."""
        self._store = store

    async def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        try:
            with _translated(key):
                await obstore.put_async(self._store, key, body)
        except ObjectMissing as error:
            raise ObjectsRefused(key, reason="there is no such bucket or folder") from error

    async def get(self, key: str) -> bytes:
        """Return an object."""
        with _translated(key):
            answer = await obstore.get_async(self._store, key)
            return bytes(await answer.bytes_async())

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for first in range(0, len(keys), _AT_ONCE):
            await self._delete(list(keys[first : first + _AT_ONCE]))

    async def _delete(self, keys: list[str]) -> None:
        try:
            with _translated(keys[0]):
                await obstore.delete_async(self._store, keys)
        except ObjectMissing:  # a folder minds, and stops at it
            for key in keys:
                with contextlib.suppress(ObjectMissing), _translated(key):
                    await obstore.delete_async(self._store, key)

    async def keys_in(self, folder: str, *, limit: int) -> list[str]:
        """Return the keys below a folder."""
        keys: list[str] = []
        with _translated(folder):
            async for found in _list(self._store, folder, chunk_size=min(limit, _AT_ONCE)):
                keys += [each["path"] for each in found]
                if len(keys) >= limit:
                    break
        return keys[:limit]

    async def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        with _translated(folder):
            found = await _list_folders(self._store, folder)
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"])


@contextlib.contextmanager
def _translated(key: str) -> Generator[None]:
    """Raise what an error of obstore means here."""
    try:
        yield
    except _FAILURES as error:
        raise _meaning(error, key) from error


def _meaning(error: Exception, key: str) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(key)
    told = str(error).split("\n", 1)[0]
    if isinstance(error, _REFUSED):
        return ObjectsRefused(key, reason=told)
    return StoreUnavailable(_STORE, reason=told)


def objects_at(url: str) -> Objects:
    """Return the objects at a URL: `file://`, `s3://`, `gs://`, `az://` or `memory://`.

    Nothing is connected yet; a folder is made.

    Raises:
        ConfigError: the URL names no store.
    """
    options: dict[str, Any] = {}
    if urlsplit(url).scheme == "file":
        options = {"mkdir": True, "automatic_cleanup": True}
    try:
        return Objects(from_url(url, **options))
    except _FAILURES as error:
        told = str(error).split("\n", 1)[0]
        raise ConfigError(f"storage.url names no object store: {told}", key="storage.url") from None
