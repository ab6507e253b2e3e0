"""Programs that start workflows without opening anything: they end clean, silent and at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.databases import fresh_database
from tests.program import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATIENCE_SECONDS = 60
HEAD = """
import asyncio, gc, os, sys
from datetime import timedelta
import octoqueue

@octoqueue.workflow
async def plain(ctx, number: int) -> int:
    return number

async def started(id):
    handle = await plain.start(1, id=id)
    print(await handle.status(), flush=True)
    return handle
"""
AFTER_A_START = """
asyncio.run(started("first"))
"""
AFTER_WAITING = """
async def main():
    handle = await started("first")
    try:
        await handle.result(timeout=timedelta(milliseconds=10))
    except octoqueue.errors.ResultTimeout:
        print("waited")

asyncio.run(main())
"""
IN_THE_MIDDLE_OF_EVENTS = """
kept = []

async def follow(handle):
    async for event in handle.events():
        print(event)

async def main():
    handle = await started("first")
    kept.append(handle.events())
    kept.append(asyncio.create_task(anext(kept[0])))
    asyncio.create_task(follow(handle))
    await asyncio.sleep(0.2)

asyncio.run(main())
"""
ON_THREE_LOOPS = """
for number in range(3):
    asyncio.run(started(f"w-{number}"))
loop = asyncio.new_event_loop()
loop.run_until_complete(started("by hand"))
loop.close()
del loop
asyncio.run(started("last"))
gc.collect()
from octoqueue.producer import workflow_client
print(len(workflow_client._clients), "left")
"""
WITH_A_CHILD = """
async def main():
    await started("parent")
    pid = os.fork()
    if not pid:
        try:
            import threading
            of_child = threading.Thread(target=asyncio.run, args=(started("child"),))
            of_child.start()
            of_child.join()
        finally:
            os._exit(0)
    await asyncio.to_thread(os.waitpid, pid, 0)
    await started("again")

asyncio.run(main())
"""
WITHOUT_A_LOOP = """
handle = plain.send(1, id="sent")
print(handle)
print(asyncio.run(handle.status()))
print(plain.send(1, id="sent"))
try:
    plain.send("no number")
except octoqueue.errors.InputInvalid:
    print("refused")
"""
FOR_EVER = """
async def main():
    handle = await started("first")
    await handle.result(timeout=timedelta(hours=1))

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
async def environment(redis_url: str, postgres_dsn: str) -> AsyncGenerator[dict[str, str]]:
    async with fresh_database(postgres_dsn) as dsn:
        yield os.environ | {
            "OCTOQUEUE_REDIS_URL": redis_url,
            "OCTOQUEUE_POSTGRES_URL": dsn,
            "OCTOQUEUE_NAMESPACE": f"d{uuid4().hex[:8]}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "default::RuntimeWarning",
        }


def running(text: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + text],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AFTER_A_START, ["queued"]),
        (AFTER_WAITING, ["queued", "waited"]),
        (IN_THE_MIDDLE_OF_EVENTS, ["queued"]),
        (ON_THREE_LOOPS, [*["queued"] * 5, "0 left"]),
        (WITH_A_CHILD, ["queued"] * 3),
        (
            WITHOUT_A_LOOP,
            ["WorkflowHandle('sent')", "queued", "WorkflowHandle('sent')", "refused"],
        ),
    ],
    ids=["start", "wait", "events", "loops", "fork", "send"],
)
async def test_a_program_that_opened_no_client_ends_without_a_word(
    environment: dict[str, str], text: str, said: list[str]
) -> None:
    with running(text, environment) as program:
        out, err = await asyncio.to_thread(program.communicate, timeout=PATIENCE_SECONDS)
    assert (program.returncode, out.splitlines(), err) == (0, said, "")


async def test_who_is_interrupted_while_he_waits_ends_without_a_word(
    environment: dict[str, str],
) -> None:
    with running(FOR_EVER, environment) as program:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == "queued\n"
        program.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(program.communicate, timeout=PATIENCE_SECONDS)
    assert (program.returncode, out.splitlines(), err) == (0, ["interrupted"], "")
