"""Results too large for Redis, from one process to another through a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
import pytest

import octoqueue
from octoqueue.broker.claim_checks import ClaimChecks
from octoqueue.errors import ActorFailed
from octoqueue.primitives.ids import id_from_text
from octoqueue.storage.objects import objects_at
from tests.running import SHORTLY
from tests.worker_processes import QUEUE, Crashes

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 2**20


async def test_a_result_too_large_for_redis_reaches_its_caller_after_its_worker_is_gone(
    redis_url: str, tmp_path: Path
) -> None:
    crashes = Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")
    url = (tmp_path / "objects").as_uri()
    broker = crashes.broker()
    broker.claim_checks = ClaimChecks(open_objects=lambda: objects_at(url))

    @octoqueue.actor(broker=broker, queue=QUEUE, name="write", results=True)
    async def write(characters: int) -> str:
        raise NotImplementedError

    async with broker.connected():
        with crashes.worker(
            OCTOQUEUE_STORAGE__URL=url, OCTOQUEUE_RESULTS__MAX_OBJECT_BYTES="2MiB"
        ) as worker:
            small, large, huge = [await write.asend(n) for n in (10, LARGE, 2 * LARGE)]
            assert await octoqueue.gather(small, large, timeout=SHORTLY) == ("x" * 10, "x" * LARGE)
            with pytest.raises(ActorFailed, match="2097161 bytes, the limit is 2097152"):
                await huge.result(timeout=SHORTLY)
            worker.kill()
            worker.wait()
        assert await large.result(timeout=SHORTLY) == "x" * LARGE
        ident = id_from_text(large.message_id)
        assert ident is not None
        check = await broker.store().result(ident)
    assert check is not None
    key = orjson.loads(check)["ref"]
    assert (tmp_path / "objects" / key).stat().st_size == LARGE + len('{"ok":""}')
