"""The manual of actors is one program, and it runs."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.options import OWN_OPTIONS
from octoqueue.lanes.options import LaneOptions
from octoqueue.maintenance.promoter import Promoter
from octoqueue.primitives.service import ServiceGroup
from tests.running import running

MANUAL = Path(__file__).parents[2] / "docs" / "actors.md"
QUEUES = ("default", "mail", "coder")


async def test_the_examples_of_the_manual_run(redis_url: str) -> None:
    before = octoqueue.get_broker()
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    octoqueue.set_broker(broker)
    examples = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "manual"}
    try:
        async with broker.connected():
            promoter = Promoter(broker.store(), QUEUES)
            async with (
                ServiceGroup([promoter]),
                running(broker, *QUEUES, on_bell=promoter.nudge),
            ):
                for example in examples:
                    code = compile(
                        example, str(MANUAL), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                    )
                    ended = eval(code, names)
                    if inspect.iscoroutine(ended):
                        await ended
    finally:
        octoqueue.set_broker(before)
    assert len(examples) > 6


def test_the_manual_names_every_option() -> None:
    table = MANUAL.read_text().split("## The options at a glance")[1].split("## ")[0]
    for name in OWN_OPTIONS:
        assert f"`{name}`" in table, name
    using = inspect.signature(octoqueue.Actor[..., Any].using).parameters
    for name in set(using) - {"self"}:
        assert f"`{name}`" in table, name
