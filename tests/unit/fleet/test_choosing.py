"""Which workers a fleet loses when it shrinks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.fleet.choosing import Candidate, idlest

candidates = st.lists(
    st.builds(
        Candidate,
        name=st.text("abcdef", min_size=1, max_size=4),
        is_ready=st.booleans(),
        running=st.none() | st.integers(0, 5),
        at_risk_seconds=st.sampled_from((0.0, 3.0, 500.0)),
        at_risk_cost=st.sampled_from((0.0, 0.5)),
        since=st.floats(0, 100),
    ),
    unique_by=lambda each: each.name,
    max_size=8,
)


def busy(name: str, running: int = 1, **more: float) -> Candidate:
    return Candidate(name=name, is_ready=True, running=running, **more)


def test_who_is_not_ready_goes_before_who_is_idle_and_that_one_before_who_is_busy() -> None:
    crew = [busy("busy", 3), busy("idle", 0), Candidate(name="new", is_ready=False)]
    assert idlest(crew, 3) == ("new", "idle", "busy")


def test_of_the_busy_the_one_with_the_least_at_risk_goes_however_many_it_runs() -> None:
    crew = [
        busy("costly", at_risk_cost=2.0),
        busy("long", at_risk_seconds=300.0),
        busy("checkpointed", 9),
    ]
    assert idlest(crew, 3) == ("checkpointed", "long", "costly")


def test_of_equals_the_youngest_goes() -> None:
    assert idlest([busy("old", since=1.0), busy("young", since=2.0)], 1) == ("young",)


def test_who_has_not_said_what_it_runs_is_taken_to_be_busy() -> None:
    silent = Candidate(name="silent", is_ready=True)
    assert idlest([silent, busy("idle", 0)], 1) == ("idle",)
    assert idlest([silent, busy("risky", at_risk_seconds=1.0)], 1) == ("silent",)


@given(candidates, st.integers(-1, 10))
def test_no_worker_with_work_at_risk_goes_while_an_idle_one_stays(
    crew: list[Candidate], count: int
) -> None:
    gone = set(idlest(crew, count))
    assert len(gone) == min(max(count, 0), len(crew))
    idle_stay = any(each.running == 0 and each.name not in gone for each in crew)
    risky_go = any(
        each.is_ready
        and each.running != 0
        and (each.at_risk_seconds or each.at_risk_cost)
        and each.name in gone
        for each in crew
    )
    assert not (idle_stay and risky_go)


@given(candidates, st.integers(0, 7))
def test_who_goes_first_goes_whether_one_more_goes_or_not(
    crew: list[Candidate], count: int
) -> None:
    assert idlest(crew, count) == idlest(crew, count + 1)[:count]
