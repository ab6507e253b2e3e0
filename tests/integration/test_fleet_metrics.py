"""`/metrics` of the fleet agent: what it decides, by the names that KEDA's scaler has for it."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import pytest

from octoqueue.cli.fleet_deciding import deciding
from octoqueue.errors import ConfigError, PortTaken
from octoqueue.fleet.plan import Fleet, fleets_from
from octoqueue.settings.root import Settings
from tests.contract.world import fresh_namespace


def configured(redis_url: str, **agent: object) -> tuple[Settings, tuple[Fleet, ...]]:
    scaling = {"min": 2, "max": 5, "depth": 10}
    fleet: dict[str, Any] = {"queues": ["coder"], "modules": ["app"], "scaling": scaling}
    told = {
        "namespace": fresh_namespace(),
        "redis": {"url": redis_url},
        "fleets": {"coder": fleet},
        "agent": agent,
    }
    settings = Settings.model_validate(told)
    return settings, fleets_from(settings)


def scraped_from(port: int | None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


async def test_what_the_agent_decides_is_told(redis_url: str) -> None:
    async with deciding(*configured(redis_url, metrics_port=0)) as found:
        await found.decider.decide("coder")
        told = await asyncio.to_thread(scraped_from, found.metrics_port)
    assert 'octollm_scaling_wanted_workers{component="coder"} 2.0' in told
    assert 'octollm_scaling_decision_total{component="coder",direction="up"} 1.0' in told


async def test_nothing_listens_unless_that_is_configured(redis_url: str) -> None:
    async with deciding(*configured(redis_url)) as found:
        assert found.metrics_port is None
        assert (await found.decider.decide("coder")).workers == 2


async def test_where_nobody_can_listen_the_key_is_named(redis_url: str) -> None:
    async with deciding(*configured(redis_url, metrics_port=0)) as found:
        taken = configured(redis_url, metrics_port=found.metrics_port)
        with pytest.raises(PortTaken, match=r"agent\.metrics_port"):
            async with deciding(*taken):
                pass
    elsewhere = configured(redis_url, metrics_port=0, metrics_host="192.0.2.1")
    with pytest.raises(ConfigError, match=r"agent\.metrics_host"):
        async with deciding(*elsewhere):
            pass
