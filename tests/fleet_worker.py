"""A worker of a fleet agent that only says who it is: small, so that many start quickly.

Its module is a word that says how it behaves: `calm`, `deaf` to signals, one that `breaks` at once,
`fails` or `hangs` as soon as the file named by FAIL_FILE is there, or is `busy` until it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from octoqueue.fleet.link import AgentLink


def option(name: str) -> str:
    return next(w.partition("=")[2] for w in sys.argv if w.startswith(f"--{name}="))


def is_there(path: str) -> bool:
    return bool(path) and Path(path).exists()


async def main(mood: str) -> None:
    end = asyncio.Event()
    link = AgentLink(
        Path(option("agent")),
        name=option("name"),
        fleet=option("fleet"),
        digest=option("digest"),
        grace=timedelta(seconds=float(os.environ.get("GRACE", "30"))),
    )

    def stop() -> None:
        link.say_leaving()
        if mood != "deaf":
            end.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)

    def retire() -> None:
        retiring.add(asyncio.create_task(finish()))

    async def finish() -> None:
        while not is_there(FAIL_FILE):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        stop()

    retiring = set[asyncio.Task[None]]()
    link.watch(stop, on_retire=retire if mood == "busy" else None)
    print(f"pid {os.getpid()}", flush=True)
    if not (MOOD == "hangs" and IS_TO_FAIL):
        link.say_ready()
    await end.wait()
    print("bye", flush=True)


MOOD, FAIL_FILE = sys.argv[2], os.environ.get("FAIL_FILE", "")
IS_TO_FAIL = is_there(FAIL_FILE)
if MOOD == "breaks" or (MOOD == "fails" and IS_TO_FAIL):
    sys.stderr.write("it cannot be\n")
    sys.exit(3)
asyncio.run(main(MOOD))
