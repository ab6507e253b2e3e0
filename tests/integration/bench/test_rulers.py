from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.harness import Bench
from bench.peers import rulers
from bench.peers.catalogue import BARE, EVERYONE, OURS, PING
from bench.server import private_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bench.peers.rulers import Peer


MANY = 40_000
"""So many that a busy machine sees the middle of a drain."""


def small(name: str) -> Peer:
    peer = next(peer for peer in EVERYONE if peer.name == name)
    return replace(peer, drains=600, sends=200)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with private_server() as server:
        yield Bench(server=server, messages=0)


@pytest.mark.parametrize("name", [OURS, BARE])
async def test_a_drain_gives_every_figure(bench: Bench, name: str) -> None:
    figures = await rulers.drain(replace(small(name), drains=MANY), bench)
    assert all(figures[figure] > 0 for figure in ("messages/s", "Redis CPU µs", "Redis commands"))
    assert 100 < figures["Redis bytes"] < 500


async def test_a_blocking_function_and_two_processes_are_drained(bench: Bench) -> None:
    peer = replace(small(OURS), drains=MANY)
    assert (await rulers.drain(peer, bench, task="sync_noop"))["messages/s"] > 0
    assert (await rulers.drain(peer, bench, processes=2))["messages/s"] > 0


@pytest.mark.parametrize(("name", "how"), [(OURS, "together"), (OURS, "bulk"), (PING, "each")])
async def test_sending_gives_a_rate_and_its_cost(bench: Bench, name: str, how: str) -> None:
    figures = await rulers.enqueue(small(name), bench, how=how)
    assert set(figures) == {"per second", "producer CPU µs"}
    assert figures["per second"] > 0


async def test_lateness_is_taken_from_when_a_message_was_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulers, "_ARRIVALS", 30)
    monkeypatch.setattr(rulers, "_WARM_ARRIVALS", 5)
    figures = await rulers.latency(small(OURS), bench)
    assert 0 < figures["P50 ms"] <= figures["P99 ms"] <= figures["max ms"]


async def test_messages_that_wait_are_run_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulers, "_NAPS", 600)
    figures = await rulers.nap(small(OURS), bench)
    assert figures["messages/s"] > 2 / 0.02  # more than two at once


async def test_urgent_messages_do_not_wait_for_all_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulers, "_LOW", 3_000)
    monkeypatch.setattr(rulers, "_LOW_BEFORE", 20)
    monkeypatch.setattr(rulers, "_HIGH", 100)
    figures = await rulers.priority(small(OURS), bench)
    assert figures["ms"] >= 100  # of CPU


async def test_a_worker_that_stops_running_is_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulers, "_STALLED_SECONDS", 0.1)
    async with rulers.played(small(OURS), bench) as play:
        with pytest.raises(RuntimeError, match="nothing ran any more after 0 messages"):
            await play.until("ran", lambda seen: seen.total >= 1)
