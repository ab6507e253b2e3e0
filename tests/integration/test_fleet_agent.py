"""The fleet agent with real processes: more, fewer, dead ones, and agents that die themselves."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.agent import AgentOptions, FleetAgent
from octoqueue.fleet.leadership import Leadership
from octoqueue.fleet.machine import Machine
from octoqueue.fleet.plan import Elastic, Fleet, Program
from octoqueue.fleet.resizing import MachineBounds
from octoqueue.fleet.restarts import RestartPolicy
from octoqueue.fleet.sizing import Sizing
from octoqueue.fleet.switchboard import Hello
from octoqueue.primitives.signals import Presence
from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.decision import Decision
from octoqueue.scaling.hpa import Bounds
from tests.program import is_alive
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from octoqueue.fleet.crew import Crew
    from octoqueue.fleet.lines import Stream

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).parents[1] / "fleet_worker.py"
NEVER = timedelta(hours=1)
QUICK = RestartPolicy(
    first_delay=timedelta(milliseconds=1),
    longest_delay=timedelta(milliseconds=20),
    tries=3,
    good_life=timedelta(milliseconds=400),
    beginning=timedelta(seconds=8),
)
AT_ONCE = DirectionRules(
    stabilization_window_seconds=0,
    policies=(RatePolicy(kind="Pods", value=100, period_seconds=1),),
    tolerance=0.0,
)


class Said:
    """What was said by whom."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        self.lines.append((name, text))


class Wanted:
    """Decides what it is told."""

    def __init__(self, **workers: int) -> None:
        self.workers = workers

    async def decide(self, fleet: str) -> Decision:
        workers = self.workers[fleet]
        return Decision(
            fleet=fleet, at_ms=0, workers=workers, is_active=True, steps=(), reason="told so"
        )


def fleet(name: str = "coder", *, mood: str = "calm", processes: int = 1, most: int = 5) -> Fleet:
    return Fleet(
        name=name,
        modules=(mood,),
        queues=(name,),
        concurrency=1,
        processes=processes,
        elastic=Elastic(least=processes, most=most),
    )


def agent_of(
    place: Path,
    *fleets: Fleet,
    wanted: Wanted | None = None,
    said: Said | None = None,
    presences: Sequence[Presence] = (),
    environment: Mapping[str, str] | None = None,
    patience: timedelta = timedelta(seconds=20),
    retirement: timedelta | None = None,
    bounds: MachineBounds | None = None,
    max_worker_bytes: int | None = None,
) -> FleetAgent:
    decider = wanted or Wanted(**{each.name: each.processes for each in fleets})

    async def read(_: Fleet) -> Sequence[Presence]:
        return presences

    def sizing(each: Fleet) -> Sizing:
        assert each.elastic is not None
        bounds = Bounds(least=each.elastic.least, most=each.elastic.most)
        return Sizing(
            each.name, decider, bounds=bounds, behavior=Behavior(up=AT_ONCE, down=AT_ONCE)
        )

    return FleetAgent(
        fleets,
        program=Program(
            call=(sys.executable, str(WORKER)),
            environment=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
        ),
        directory=place,
        sink=said or Said(),
        options=AgentOptions(
            every=NEVER,
            patience=patience,
            retirement=retirement,
            bounds=bounds or MachineBounds(),
            max_worker_bytes=max_worker_bytes,
        ),
        sizings={each.name: sizing(each) for each in fleets if each.elastic},
        presences=read,
        machine=Machine(processors=8, memory_bytes=64 << 30),
        policy=QUICK,
    )


@asynccontextmanager
async def running(agent: FleetAgent) -> AsyncGenerator[FleetAgent]:
    await agent.start()
    try:
        await agent.wait_until_ready()
        yield agent
    finally:
        await agent.stop()


def pids_of(crew: Crew) -> list[int]:
    return [member.pid for member in crew.staying if member.pid]


async def all_ready(agent: FleetAgent, size: int, name: str = "coder") -> None:
    crew = agent.crews[name]
    await until(lambda: [m.ready.is_set() for m in crew.staying] == [True] * size)


async def test_a_fleet_grows_and_shrinks_with_what_is_wanted(tmp_path: Path) -> None:
    wanted = Wanted(coder=3)
    async with running(agent_of(tmp_path, fleet(), wanted=wanted)) as agent:
        crew = agent.crews["coder"]
        oldest = pids_of(crew)
        await agent.resizer.resize()
        await all_ready(agent, 3)
        assert [member.name for member in crew.staying] == ["coder", "coder.2", "coder.3"]
        wanted.workers["coder"] = 1
        await agent.resizer.resize()
        await until(lambda: len(crew.members) == 1)
        assert pids_of(crew) == oldest
        changes = [(each.before, each.after, each.reason) for each in agent.resizer.resizes]
        assert changes == [(1, 3, "told so"), (3, 1, "told so")]
    assert not any(is_alive(pid) for pid in oldest)


async def test_the_idlest_is_drained_and_one_that_drains_is_not_chosen_again(
    tmp_path: Path,
) -> None:
    def says(name: str, running: int) -> Presence:
        return Presence(
            session=name,
            name=name,
            fleet="coder",
            queues=("coder",),
            slots=1,
            running=running,
            started_at_ms=0,
            ready_at_ms=0,
            said_at_ms=0,
        )

    wanted = Wanted(coder=2)
    said = [says("coder.1", 1), says("coder.2", 0), says("coder.3", 1)]
    crew_of_three = Fleet(
        name="coder",
        modules=("deaf",),
        queues=("coder",),
        concurrency=1,
        processes=3,
        elastic=Elastic(least=1, most=5),
    )
    made = agent_of(
        tmp_path,
        crew_of_three,
        wanted=wanted,
        presences=said,
        patience=timedelta(milliseconds=500),
    )
    async with running(made) as agent:
        crew = agent.crews["coder"]
        await agent.resizer.resize()
        await agent.resizer.resize()
        states = {member.name: member.state for member in crew.members}
        assert states == {"coder.1": "ready", "coder.2": "draining", "coder.3": "ready"}
        await until(lambda: len(crew.members) == 2)  # deaf: it is killed when patience is over


async def test_what_the_machine_has_room_for_is_shared_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = Wanted(coder=5, judge=5)
    made = agent_of(
        tmp_path,
        fleet(),
        fleet("judge"),
        wanted=wanted,
        bounds=MachineBounds(max_processes=5),
    )
    async with running(made) as agent:
        await agent.resizer.resize()
        assert {name: crew.size for name, crew in agent.crews.items()} == {"coder": 3, "judge": 2}
        assert "agent.max_processes: 5" in agent.resizer.resizes[0].reason
        assert any(record.message == "machine_full" for record in caplog.records)


async def test_a_worker_that_dies_comes_back(tmp_path: Path) -> None:
    async with running(agent_of(tmp_path, fleet())) as agent:
        crew = agent.crews["coder"]
        (first,) = pids_of(crew)
        os.kill(first, signal.SIGKILL)
        await until(lambda: pids_of(crew) not in ([first], []))
        await all_ready(agent, 1)


async def test_a_fleet_that_never_worked_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    agent = agent_of(tmp_path, fleet(mood="breaks"), fleet("judge"))
    await agent.start()
    try:
        with pytest.raises(ProcessGivenUp, match="coder ended with exit code 3: it cannot be"):
            await agent.wait_until_ready()
    finally:
        await agent.stop()


async def test_one_that_worked_and_dies_again_and_again_is_degraded_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "fail"
    made = agent_of(
        tmp_path,
        fleet(mood="fails"),
        fleet("judge"),
        environment={"FAIL_FILE": str(flag)},
    )
    async with running(made) as agent:
        crew = agent.crews["coder"]
        flag.touch()
        os.kill(pids_of(crew)[0], signal.SIGKILL)
        await until(lambda: crew.is_degraded)
        failing = asyncio.create_task(agent.wait_for_failure())
        await until(lambda: any(r.message == "fleet_degraded" for r in caplog.records))
        assert not failing.done()
        assert [m.state for m in crew.members] == ["failing"]
        assert [m.state for m in agent.crews["judge"].members] == ["ready"]
        flag.unlink()
        await all_ready(agent, 1)
        assert not crew.is_degraded
        failing.cancel()


async def test_a_restart_has_a_new_one_ready_before_an_old_one_drains(tmp_path: Path) -> None:
    async with running(agent_of(tmp_path, fleet(processes=2))) as agent:
        crew = agent.crews["coder"]
        before = pids_of(crew)
        async for _ in crew.restart():
            assert len([m for m in crew.staying if m.ready.is_set()]) >= 2
        assert len(pids_of(crew)) == 2
        assert not set(before) & set(pids_of(crew))


async def test_a_restart_whose_new_one_does_not_get_ready_leaves_the_old_ones(
    tmp_path: Path,
) -> None:
    flag = tmp_path / "fail"
    made = agent_of(
        tmp_path, fleet(mood="fails", processes=2), environment={"FAIL_FILE": str(flag)}
    )
    async with running(made) as agent:
        crew = agent.crews["coder"]
        before = pids_of(crew)
        flag.touch()
        with pytest.raises(ProcessGivenUp, match="the others stay as they are"):
            async for _ in crew.restart():
                pass
        assert pids_of(crew) == before


async def test_a_worker_with_too_much_memory_is_replaced_once_it_is_no_beginner(
    tmp_path: Path,
) -> None:
    async with running(agent_of(tmp_path, fleet(), max_worker_bytes=1)) as agent:
        crew = agent.crews["coder"]
        before = pids_of(crew)

        def looked() -> bool:
            agent._replace_the_fat()
            return crew.is_restarting

        await until(looked)
        await until(lambda: not crew.is_restarting)
        assert len(pids_of(crew)) == 1
        assert pids_of(crew) != before


async def test_who_dies_without_a_word_is_followed_by_one_that_adopts_its_workers(
    tmp_path: Path,
) -> None:
    said = Said()
    async with dead_agent(tmp_path, fleet(processes=2)) as left:
        async with running(agent_of(tmp_path, fleet(processes=2), said=said)) as agent:
            assert pids_of(agent.crews["coder"]) == left
            await until(lambda: agent._switchboard._talks)  # they have found it
            wanted = agent.resizer._sizings["coder"]._decider
            assert isinstance(wanted, Wanted)
            wanted.workers["coder"] = 3
            await agent.resizer.resize()
            await all_ready(agent, 3)
        assert not any(is_alive(pid) for pid in left)
    assert ("coder.1", "bye") in said.lines
    assert (tmp_path / "roster.json").read_text() == "[]"


async def test_an_adopted_worker_that_dies_is_missed_and_replaced(tmp_path: Path) -> None:
    made = agent_of(tmp_path, fleet())
    async with dead_agent(tmp_path, fleet()) as left, running(made) as agent:
        crew = agent.crews["coder"]
        assert pids_of(crew) == left
        os.kill(left[0], signal.SIGKILL)
        await until(lambda: pids_of(crew) not in (left, []))
        await all_ready(agent, 1)


async def test_workers_of_a_fleet_that_is_not_configured_any_more_are_told_to_leave(
    tmp_path: Path,
) -> None:
    async with dead_agent(tmp_path, fleet()) as left, running(agent_of(tmp_path, fleet("judge"))):
        await until(lambda: not is_alive(left[0]))


async def test_workers_that_were_started_otherwise_are_replaced_one_by_one(tmp_path: Path) -> None:
    async with dead_agent(tmp_path, fleet()) as left:
        other = agent_of(tmp_path, fleet(), environment={"OCTOQUEUE_NAMESPACE": "other"})
        async with running(other) as agent:
            await until(lambda: not is_alive(left[0]))
            await all_ready(agent, 1)


async def test_workers_whom_nobody_adopts_end_after_their_grace(tmp_path: Path) -> None:
    async with dead_agent(tmp_path, fleet(processes=2), GRACE="0.3") as left:
        await until(lambda: not any(is_alive(pid) for pid in left))


async def test_one_that_drains_when_its_agent_dies_is_not_asked_twice_and_not_counted(
    tmp_path: Path,
) -> None:
    async with dead_agent(tmp_path, fleet(mood="deaf", processes=2)) as left:
        os.kill(left[1], signal.SIGTERM)  # the last thing that the agent did
        again = agent_of(
            tmp_path, fleet(mood="deaf", processes=2), patience=timedelta(milliseconds=300)
        )
        async with running(again) as agent:
            crew = agent.crews["coder"]
            await until(lambda: not is_alive(left[1]))
            await until(lambda: pids_of(crew) == left[:1])
            await agent.resizer.resize()
            await all_ready(agent, 2)


async def test_a_fleet_of_a_fixed_size_is_filled_up(tmp_path: Path) -> None:
    fixed = Fleet(name="coder", modules=("calm",), queues=("coder",), concurrency=1, processes=2)
    async with running(agent_of(tmp_path, fixed)) as agent:
        agent.crews["coder"].members[0].leave()
        await agent.resizer.resize()
        await all_ready(agent, 2)
        assert not agent.resizer.resizes


async def test_one_too_many_of_a_fixed_size_that_was_left_in_a_rolling_restart_leaves(
    tmp_path: Path,
) -> None:
    def fixed(processes: int) -> Fleet:
        return replace(fleet(processes=processes), elastic=None)

    made = agent_of(tmp_path, fixed(2))
    async with dead_agent(tmp_path, fixed(3)) as left, running(made) as agent:
        await until(lambda: len(agent.crews["coder"].members) == 2)
        assert set(pids_of(agent.crews["coder"])) < set(left)


async def test_a_restart_whose_operator_has_gone_leaves_no_worker_too_many(tmp_path: Path) -> None:
    async with running(agent_of(tmp_path, fleet(processes=2))) as agent:
        crew = agent.crews["coder"]
        restart = crew.restart()
        await anext(restart)
        await restart.aclose()
        await until(lambda: len(crew.members) == 2)
        assert not crew.is_restarting


async def test_a_restart_whose_new_one_hangs_ends_and_leaves_the_old_ones(tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    made = agent_of(tmp_path, fleet(mood="hangs"), environment={"FAIL_FILE": str(flag)})
    async with running(made) as agent:
        crew = agent.crews["coder"]
        before = pids_of(crew)
        flag.touch()
        with pytest.raises(ProcessGivenUp, match="did not get ready"):
            async for _ in crew.restart():
                pass
        await until(lambda: [m.pid for m in crew.members] == before)
        assert not crew.is_restarting


async def test_a_worker_that_cannot_be_started_for_now_does_not_end_those_that_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(coder=2)
    async with running(agent_of(tmp_path, fleet(), wanted=wanted)) as agent:
        failing = asyncio.create_task(agent.wait_for_failure())

        async def refuses(*_: object, **__: object) -> None:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

        with monkeypatch.context() as short:
            short.setattr(asyncio, "create_subprocess_exec", refuses)
            await agent.resizer.resize()
            await until(lambda: any(r.message == "fleet_degraded" for r in caplog.records))
            assert not failing.done()
        await all_ready(agent, 2)
        assert not failing.done()
        failing.cancel()


async def test_a_worker_whose_output_has_no_place_for_now_does_not_end_those_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(coder=2)
    async with running(agent_of(tmp_path, fleet(), wanted=wanted)) as agent:

        def refuses(_: str) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as short:
            short.setattr(agent._tails, "of", refuses)
            await agent.resizer.resize()
            restarted = [part async for part in agent.answer({"ask": "restart", "fleet": "coder"})]
            assert restarted == [{"error": "coder.2 cannot be started: Too many open files"}]
        assert agent.crews["coder"].size == 1
        await agent.resizer.resize()
        await all_ready(agent, 2)


async def test_who_is_to_leave_before_it_is_ready_is_not_waited_for(tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    flag.touch()
    agent = agent_of(tmp_path, fleet(mood="hangs"), environment={"FAIL_FILE": str(flag)})
    await agent.start()
    try:
        ready = asyncio.create_task(agent.wait_until_ready())
        await until(lambda: bool(pids_of(agent.crews["coder"])))
        assert not ready.done()
        agent.crews["coder"].shrink_to(0)
        async with asyncio.timeout(10):
            await ready
    finally:
        await agent.stop()


async def test_a_stranger_that_comes_while_a_worker_is_being_started_does_not_take_its_place(
    tmp_path: Path,
) -> None:
    async with running(agent_of(tmp_path, fleet())) as agent:
        member = agent.crews["coder"].members[0]
        process, member._process = member._process, None  # as between two lives
        stranger = Hello(
            name="coder", fleet="coder", digest="", pid=1, is_ready=True, is_leaving=False
        )
        member.ready.clear()
        assert agent.greet(stranger) is None  # let it ask again
        assert not member.ready.is_set()
        member._process = process
        assert agent.greet(stranger) is False


async def test_an_agent_ends_in_order_on_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(agent_of(tmp_path, fleet())) as agent:
        failing = asyncio.create_task(agent.wait_for_failure())
        await asyncio.sleep(0)
        monkeypatch.setattr(agent._roster, "write", full)
    await failing
    assert any(record.message == "roster_not_written" for record in caplog.records)


async def test_whom_a_fleet_does_not_need_finishes_what_it_runs_whatever_the_patience(
    tmp_path: Path,
) -> None:
    wanted, done = Wanted(coder=2), tmp_path / "done"
    made = agent_of(
        tmp_path,
        fleet(mood="busy"),
        wanted=wanted,
        environment={"FAIL_FILE": str(done)},
        patience=timedelta(milliseconds=1),
        retirement=timedelta(minutes=1),
    )
    async with running(made) as agent:
        crew = agent.crews["coder"]
        await agent.resizer.resize()
        await all_ready(agent, 2)
        wanted.workers["coder"] = 1
        await agent.resizer.resize()
        await until(lambda: [m.state for m in crew.members] == ["ready", "draining"])
        leaving = crew.members[1].pid
        assert leaving is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await until(lambda: len(crew.members) == 1)
        assert is_alive(leaving)
        done.touch()
        await until(lambda: len(crew.members) == 1)


async def test_whom_a_fleet_does_not_need_is_asked_to_drain_when_its_time_is_over(
    tmp_path: Path,
) -> None:
    wanted = Wanted(coder=2)
    made = agent_of(
        tmp_path, fleet(mood="busy"), wanted=wanted, retirement=timedelta(milliseconds=50)
    )
    async with running(made) as agent:
        await agent.resizer.resize()
        await all_ready(agent, 2)
        wanted.workers["coder"] = 1
        await agent.resizer.resize()
        await until(lambda: len(agent.crews["coder"].members) == 1)


async def test_an_agent_that_ends_asks_those_that_retire_to_hurry_like_the_others(
    tmp_path: Path,
) -> None:
    wanted = Wanted(coder=2)
    made = agent_of(tmp_path, fleet(mood="busy"), wanted=wanted, retirement=timedelta(hours=1))
    async with asyncio.timeout(30), running(made) as agent:
        await agent.resizer.resize()
        await all_ready(agent, 2)
        wanted.workers["coder"] = 1
        await agent.resizer.resize()
        assert [m.state for m in agent.crews["coder"].members] == ["ready", "draining"]


async def test_what_was_written_down_as_draining_is_seen_off(tmp_path: Path) -> None:
    async with dead_agent(tmp_path, fleet()) as left:
        roster = tmp_path / "roster.json"
        roster.write_text(roster.read_text().replace('"is_leaving":false', '"is_leaving":true'))
        again = agent_of(tmp_path, fleet(), patience=timedelta(milliseconds=300))
        async with running(again) as agent:
            assert pids_of(agent.crews["coder"]) != left
            await until(lambda: not is_alive(left[0]))


async def test_a_pid_that_came_again_is_nobodys_worker(tmp_path: Path) -> None:
    async with dead_agent(tmp_path, fleet()) as left:
        os.kill(left[0], signal.SIGKILL)
        await until(lambda: not is_alive(left[0]))
        roster = tmp_path / "roster.json"
        roster.write_text(roster.read_text().replace(f'"pid":{left[0]}', f'"pid":{os.getpid()}'))
        async with running(agent_of(tmp_path, fleet())) as agent:
            assert pids_of(agent.crews["coder"]) != [os.getpid()]
    # and this process has not been asked to stop


async def test_of_two_agents_one_waits_and_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Leadership(tmp_path / "lock"), Leadership(tmp_path / "lock")
    assert not await first.take(pid=os.getpid())
    waiting = asyncio.create_task(second.take(pid=os.getpid()))
    await until(lambda: any(record.message == "agent_waits" for record in caplog.records))
    assert not waiting.done()
    first.give_up()
    assert await waiting
    second.give_up()


@asynccontextmanager
async def dead_agent(place: Path, of: Fleet, **environment: str) -> AsyncGenerator[list[int]]:
    """Workers of an agent that was killed; what is left of them is killed in the end."""
    code = f"""
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.integration.test_fleet_agent import agent_of, fleet
from octoqueue.fleet.plan import Fleet, Elastic
async def main():
    agent = agent_of(
        Path({str(place)!r}), {of!r}, environment={environment!r}
    )
    await agent.start()
    await agent.wait_until_ready()
    print(*[m.pid for c in agent.crews.values() for m in c.members], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    process.kill()
    await process.wait()
    assert len(pids) == of.processes
    try:
        yield pids
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
