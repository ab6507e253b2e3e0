"""`ClaimChecks`: results that are too large for Redis wait in the object store.

What is kept in Redis is then a claim check, `{"ref": key}`, and whoever asks for the result gets
the object. The object is put before the check is committed: a crash in between leaves an object
without a check, which is pruned with the day its check would have expired on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from octoqueue.embedded.state_dir import default_state_dir
from octoqueue.errors import ConfigError, ResultTooLarge
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.messages import ResultRecord
from octoqueue.storage.retention import result_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from octoqueue.primitives.ids import MessageId
    from octoqueue.settings.root import Settings
    from octoqueue.storage.protocol import ObjectStore

_clock = SystemClock()

_CHECK = b'{"ref":'
"""How a claim check begins; a result begins with `{"ok":` or `{"error":`."""


@dataclass(kw_only=True)
class ClaimChecks:
    """Knows which results are too large, and where those go."""

    open_objects: Callable[[], ObjectStore] | None = None
    """Opens the object store when it is first needed; None when there is none."""
    max_bytes: int = 256 << 10
    """Of a result in Redis."""
    max_object_bytes: int = 64 << 20

    @cached_property
    def objects(self) -> ObjectStore | None:
        """The object store, None when there is none."""
        return None if self.open_objects is None else self.open_objects()

    def require_fitting(self, actor: str, body: bytes) -> None:
        """Refuse a result that can be kept nowhere.

        Raises:
            ResultTooLarge: it is over the limit.
        """
        if len(body) <= self.max_bytes:
            return
        if self.open_objects is None:
            raise ResultTooLarge(
                actor,
                result_bytes=len(body),
                limit_bytes=self.max_bytes,
                setting="results.max_bytes, as no storage.url is configured",
            )
        if len(body) > self.max_object_bytes:
            raise ResultTooLarge(
                actor,
                result_bytes=len(body),
                limit_bytes=self.max_object_bytes,
                setting="results.max_object_bytes",
            )

    def is_too_large(self, record: ResultRecord | None) -> bool:
        """Whether a result must go to the object store before it is committed."""
        return record is not None and len(record.body) > self.max_bytes

    async def deposited(self, record: ResultRecord, message_id: MessageId) -> ResultRecord:
        """Put a result into the object store and return its claim check.

        Raises:
            StoreUnavailable: the object store cannot be reached.
            ObjectsRefused: it does not let us in.
        """
        objects = self.objects
        if objects is None:  # an error may be large, too, where results are kept very small
            return record
        key = result_key(message_id, expires_at_ms=_clock.now_ms() + record.ttl_ms)
        await objects.put(key, record.body)
        return ResultRecord(body=orjson.dumps({"ref": key}), ttl_ms=record.ttl_ms)

    async def redeemed(self, body: bytes) -> bytes:
        """Return the result for what is kept in Redis.

        Raises:
            ObjectMissing: the object is gone, or this process looks into another store.
            ConfigError: no object store is configured here.
        """
        if not body.startswith(_CHECK):
            return body
        key: str = orjson.loads(body)["ref"]
        if self.objects is None:
            raise ConfigError(
                f"the result is the object {key!r}, and no storage.url is configured here",
                key="storage.url",
            )
        return await self.objects.get(key)


def claim_checks_from(settings: Settings, *, private: bool) -> ClaimChecks:
    """Return what the configuration says; nothing is opened yet.

    `private` is whether a program has named no server itself.
    """
    url = settings.storage.url
    if url is None and settings.redis.url is None and private:
        embedded = settings.embedded
        state_dir = embedded.state_dir or default_state_dir(
            embedded.name,
            environ=os.environ,  # noqa: TID251 - the state folder is the user's environment's
        )
        url = objects_beside(state_dir)
    return ClaimChecks(
        open_objects=None if url is None else _opener(url),
        max_bytes=settings.results.max_bytes,
        max_object_bytes=settings.results.max_object_bytes,
    )


def objects_beside(state_dir: Path) -> str:
    """Return the URL of the objects that go with the private servers in a folder."""
    return (state_dir.absolute() / "objects").as_uri()


def _opener(url: str) -> Callable[[], ObjectStore]:
    def open_objects() -> ObjectStore:
        from octoqueue.storage.objects import objects_at  # noqa: PLC0415 - 20 MB, rarely needed

        return objects_at(url)

    return open_objects
