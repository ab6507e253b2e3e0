"""The example in docs/transactional-enqueue.md runs as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.databases import fresh_database
from tests.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def environment(
    redis_url: str, postgres_dsn: str, tmp_path: Path
) -> AsyncGenerator[dict[str, str]]:
    page = (ROOT / "docs" / "transactional-enqueue.md").read_text()
    (example,) = re.findall(r"```python\n(import asyncio\n.*?)```", page, re.DOTALL)
    (tmp_path / "shop.py").write_text(example)
    async with fresh_database(postgres_dsn) as dsn:
        yield {
            "OCTOQUEUE_REDIS_URL": redis_url,
            "OCTOQUEUE_POSTGRES_URL": dsn,
            "OCTOQUEUE_NAMESPACE": f"d{uuid4().hex[:8]}",
        }


async def test_the_example_orders_and_charges(environment: dict[str, str], tmp_path: Path) -> None:
    with Program("outbox", "migrate", cwd=tmp_path, environment=environment) as migrating:
        assert migrating.ends() == 0, migrating.transcript
    shopping = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "shop.py"],
        cwd=tmp_path,
        env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shopping.stdout == "ordered 1\n"
    with (
        Program("relay", cwd=tmp_path, environment=environment) as relay,
        Program("worker", "shop", cwd=tmp_path, environment=environment) as worker,
    ):
        worker.says("charging 1")
        relay.signal(signal.SIGTERM)
        assert relay.ends() == 0
        relay.says("relay_stopped .*relayed=1")
