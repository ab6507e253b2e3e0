"""The whole platform for the length of a block: `octoqueue up` with private servers."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.child import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_STARTING_SECONDS = 120.0
_STOPPING_SECONDS = 40.0
_READY = re.compile(rb"ready on http://([^:/]+):(\d+)")


def _private_place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="oqb-"))
    place.chmod(0o711)  # PostgreSQL does not run as root, and must get to its data
    return place


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[str, int]]:
    """Start everything that `octoqueue.yaml` says; give host and port.

    Raises:
        RuntimeError: it did not start; with the end of what it said.
    """
    outside = {name: value for name, value in os.environ.items() if "OCTOQUEUE" not in name}
    place = _private_place()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "octoqueue", "up", "--config", "octoqueue.yaml"),
            *("--host", "127.0.0.1", "--port", "0"),
            cwd=ROOT,
            env=outside
            | {
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "OCTOQUEUE_EMBEDDED__STATE_DIR": str(place / "state"),
                "OCTOQUEUE_LOG__LEVEL": "warning",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        assert process.stdout is not None
        reading: asyncio.Task[bytes] | None = None
        try:
            async with asyncio.timeout(_STARTING_SECONDS):
                while not (ready := _READY.search(line := await process.stdout.readline())):
                    if not line:
                        log.seek(0)
                        raise RuntimeError(log.read().decode(errors="replace")[-4000:])
            reading = asyncio.create_task(process.stdout.read())  # or it would stop at a full pipe
            yield ready[1].decode(), int(ready[2])
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOPPING_SECONDS):
                    await process.wait()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                if reading is not None:
                    reading.cancel()
                shutil.rmtree(place, ignore_errors=True)
