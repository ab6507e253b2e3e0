"""A worker keeps the annotation of its pod true, and comes to no harm by it."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

from octoqueue.runtime.pod_cost import PodCost, pod_cost_of
from octoqueue.runtime.pod_patch import PodNotPatchedError, PodPatch
from octoqueue.runtime.presence import AtRisk
from octoqueue.scaling.deletion_cost import Pace
from octoqueue.settings.kubernetes import KubernetesSettings
from octoqueue.testing.fake_clock import FakeClock
from tests.kubernetes_api import CERTIFICATES, Cluster, service_account, serving
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path


Wish = Literal["auto", "on", "off"]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with serving() as api:
        yield api


@pytest.fixture
def account(tmp_path: Path) -> Path:
    return service_account(tmp_path)


def settings(cluster: Cluster, account: Path) -> KubernetesSettings:
    return KubernetesSettings(
        pod="coder-arm-7d9-x2x",
        api=f"https://127.0.0.1:{cluster.port}",
        service_account=account,
    )


@dataclass
class Work:
    """What a worker has to do, as these tests want it."""

    running: int = 0
    at_risk: AtRisk = field(default_factory=AtRisk)


@dataclass
class Kept:
    """A worker's annotation, kept in virtual time."""

    cost: PodCost
    work: Work
    clock: FakeClock

    async def after(self, seconds: int, *, step: int = 1) -> None:
        """Let so many seconds pass, in steps with what each makes due."""
        for _ in range(0, seconds, step):
            self.clock.advance(1_000 * step)
            await until(lambda: bool(self.clock._sleepers) or self.cost._task is None)


@asynccontextmanager
async def kept(patch: PodPatch) -> AsyncGenerator[Kept]:
    work, clock = Work(), FakeClock()
    cost = PodCost(
        patch,
        running=lambda: work.running,
        at_risk=lambda: work.at_risk,
        pace=Pace(every_seconds=10, fall_seconds=60),
        clock=clock,
        rng=random.Random(7),
    )
    await cost.start()
    try:
        await until(lambda: clock._sleepers)
        yield Kept(cost, work, clock)
    finally:
        await cost.stop()


# ── the call ─────────────────────────────────────────────────────────────────────────────────────


async def test_it_merges_one_annotation_into_its_own_pod(cluster: Cluster, account: Path) -> None:
    await PodPatch(settings(cluster, account)).say(42)
    (asked,) = cluster.asked
    assert asked.line == "PATCH /api/v1/namespaces/octollm/pods/coder-arm-7d9-x2x HTTP/1.1"
    assert asked.headers["content-type"] == "application/merge-patch+json"
    assert asked.headers["authorization"] == "Bearer first-token"
    assert asked.body == {
        "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "42"}}
    }


async def test_a_rotated_token_is_used_by_the_next_call(cluster: Cluster, account: Path) -> None:
    patch = PodPatch(settings(cluster, account))
    await patch.say(1)
    (account / "token").write_text("second-token")
    await patch.say(2)
    tokens = [asked.headers["authorization"] for asked in cluster.asked]
    assert tokens == ["Bearer first-token", "Bearer second-token"]


async def test_nobody_else_is_taken_for_the_cluster(cluster: Cluster, account: Path) -> None:
    foreign = CERTIFICATES.parents[1] / "scalers" / "certificates" / "ca.pem"
    (account / "ca.crt").write_bytes(foreign.read_bytes())
    with pytest.raises(PodNotPatchedError, match="CERTIFICATE_VERIFY_FAILED"):
        await PodPatch(settings(cluster, account)).say(1)
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("status", "said", "is_final"),
    [
        (403, "verbs ['patch']", True),
        (404, "downward API", True),
        (429, "429", False),
        (500, "500", False),
        (401, "401", False),
    ],
)
async def test_a_refusal_says_what_to_do(
    cluster: Cluster, account: Path, status: int, said: str, *, is_final: bool
) -> None:
    cluster.status = status
    with pytest.raises(PodNotPatchedError) as caught:
        await PodPatch(settings(cluster, account)).say(1)
    assert said in str(caught.value)
    assert caught.value.is_final is is_final


async def test_a_missing_token_is_no_crash(cluster: Cluster, account: Path) -> None:
    (account / "token").unlink()
    with pytest.raises(PodNotPatchedError, match="service account"):
        await PodPatch(settings(cluster, account)).say(1)


@pytest.mark.parametrize("token", ["", "very\nsecret", "very secret\0", "vérysecret"])
async def test_what_is_no_token_is_neither_sent_nor_told(
    cluster: Cluster, account: Path, token: str
) -> None:
    (account / "token").write_text(token)
    with pytest.raises(PodNotPatchedError, match="holds no token") as caught:
        await PodPatch(settings(cluster, account)).say(1)
    assert "secret" not in str(caught.value)
    assert cluster.asked == []


async def test_without_a_namespace_nobody_is_asked(cluster: Cluster, account: Path) -> None:
    (account / "namespace").write_text("\n")
    with pytest.raises(PodNotPatchedError, match="namespace is empty"):
        await PodPatch(settings(cluster, account)).say(1)
    assert cluster.asked == []


async def test_a_process_that_starts_again_in_its_pod_says_anew_what_is_true(
    cluster: Cluster, account: Path
) -> None:
    """What the one before it has said is still on the pod."""
    for running in (1, 0):
        async with kept(PodPatch(settings(cluster, account))) as worker:
            worker.work.running = running
            await worker.after(11)
    assert cluster.costs[-1] == "0"


async def test_a_thousand_messages_a_second_are_no_more_than_one_write_in_ten_seconds(
    cluster: Cluster, account: Path
) -> None:
    rng = random.Random(1)
    async with kept(PodPatch(settings(cluster, account))) as worker:
        for _ in range(120):
            worker.work.running = rng.randrange(0, 100)
            worker.work.at_risk = AtRisk(seconds=rng.uniform(0, 100), cost=rng.uniform(0, 1))
            await worker.after(1)
    assert len(cluster.asked) <= 13


# ── when ─────────────────────────────────────────────────────────────────────────────────────────


async def test_only_edges_and_doublings_are_written(cluster: Cluster, account: Path) -> None:
    async with kept(PodPatch(settings(cluster, account))) as worker:
        assert cluster.costs == ["0"]
        await worker.after(100)
        worker.work.running = 1
        await worker.after(1)
        assert cluster.costs == ["0", "1"]
        for second in range(100):
            worker.work.at_risk = AtRisk(seconds=float(second))
            worker.work.running = 1 + second % 5
            await worker.after(1)
        assert cluster.costs == ["0", "1", "2", "3", "4", "5"]
        worker.work.running, worker.work.at_risk = 0, AtRisk()
        await worker.after(1)
        assert cluster.costs[-1] == "0"
        await worker.after(100)
        assert len(cluster.costs) == 7


async def test_a_worker_of_short_messages_writes_once_in_ten_seconds_and_the_last_value_wins(
    cluster: Cluster, account: Path
) -> None:
    async with kept(PodPatch(settings(cluster, account))) as worker:
        for second in range(100):
            worker.work.running = second % 2
            await worker.after(1)
        assert len(cluster.costs) <= 11
        worker.work.running = 0
        await worker.after(10)
        assert cluster.costs[-1] == "0"


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_missing_right_is_told_once_and_not_asked_for_again_for_an_hour(
    cluster: Cluster, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.status = 403
    async with kept(PodPatch(settings(cluster, account))) as worker:
        worker.work.running = 1
        await worker.after(3_590, step=10)
        assert len(cluster.asked) == 1
        await worker.after(20)
        assert len(cluster.asked) == 2
    told = [record for record in caplog.records if record.message == "pod_cost_not_written"]
    assert len(told) == 1


async def test_a_busy_api_is_asked_less_and_less_and_then_told_what_is_true_by_then(
    cluster: Cluster, account: Path
) -> None:
    cluster.status = 500
    async with kept(PodPatch(settings(cluster, account))) as worker:
        await worker.after(600, step=2)
        assert 4 <= len(cluster.asked) <= 12
        cluster.status, worker.work.running = 200, 1
        await worker.after(302, step=2)
        assert cluster.costs[-1] == "1"
        count = len(cluster.asked)
        await worker.after(100)
        assert len(cluster.asked) == count


async def test_it_waits_as_long_as_a_busy_api_asks_for(cluster: Cluster, account: Path) -> None:
    cluster.status, cluster.headers = 429, {"Retry-After": "120"}
    async with kept(PodPatch(settings(cluster, account))) as worker:
        await worker.after(119)
        assert len(cluster.asked) == 1
        await worker.after(2)
        assert len(cluster.asked) == 2


async def test_an_api_that_hangs_is_given_up_and_keeps_nobody_from_stopping(
    cluster: Cluster, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octoqueue.runtime.pod_cost.BUDGET_SECONDS", 0.05)
    cluster.hangs = True
    async with kept(PodPatch(settings(cluster, account))) as worker:
        assert len(cluster.asked) == 1
        monkeypatch.setattr("octoqueue.runtime.pod_cost.BUDGET_SECONDS", 60)
        await_second = asyncio.create_task(worker.after(11))
        await until(lambda: len(cluster.asked) == 2)
        async with asyncio.timeout(5):
            await worker.cost.stop()
        await await_second


async def test_what_nobody_foresaw_does_not_end_it(cluster: Cluster, account: Path) -> None:
    async with kept(PodPatch(settings(cluster, account))) as worker:
        worker.work.at_risk = None  # type: ignore[assignment]
        await worker.after(1)
        worker.work.at_risk, worker.work.running = AtRisk(), 1
        await worker.after(302, step=2)
        assert cluster.costs == ["0", "1"]


# ── whether ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wish", "has_token", "is_alone", "is_kept"),
    [
        ("auto", True, True, True),
        ("auto", False, True, False),
        ("auto", True, False, False),
        ("on", False, True, True),
        ("on", True, False, False),
        ("off", True, True, False),
    ],
)
def test_it_is_kept_in_a_cluster_by_the_only_worker_process_unless_it_is_off(
    tmp_path: Path,
    wish: Wish,
    *,
    has_token: bool,
    is_alone: bool,
    is_kept: bool,
) -> None:
    if has_token:
        (tmp_path / "token").write_text("t")
    found = pod_cost_of(
        KubernetesSettings(pod_deletion_cost=wish, service_account=tmp_path),
        running=lambda: 0,
        at_risk=AtRisk,
        is_alone=is_alone,
    )
    assert (found is not None) is is_kept
