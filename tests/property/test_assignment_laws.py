"""Laws of dealing out partitions: one owner each, even shares, as few moves as possible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.orchestrator.assignment import wanted
from octoqueue.workflows.protocol import AgentId, Hold, Roster

AGENTS = [AgentId(f"agent-{number}") for number in range(6)]


@st.composite
def rosters(draw: st.DrawFn) -> tuple[Roster, int]:
    partitions = draw(st.integers(1, 24))
    alive = draw(st.sets(st.sampled_from(AGENTS), min_size=1))
    owners = draw(
        st.dictionaries(
            st.integers(0, partitions - 1), st.sampled_from([None, *sorted(alive)]), max_size=24
        )
    )
    holds = {partition: Hold(owner=owner, epoch=1) for partition, owner in owners.items()}
    return Roster(agents=tuple(sorted(alive)), holds=holds), partitions


def owners_in(roster: Roster) -> dict[int, AgentId]:
    return {
        partition: hold.owner for partition, hold in roster.holds.items() if hold.owner is not None
    }


def after_one_round(roster: Roster, partitions: int) -> Roster:
    """Everybody sees the same roster, and does his part."""
    owners = owners_in(roster)
    taken: dict[int, AgentId] = {}
    for agent in roster.agents:
        mine = wanted(agent, roster, partitions=partitions)
        for partition in mine.release:
            assert owners.pop(partition) == agent
        for partition in mine.take:
            assert partition not in owners_in(roster), "somebody holds it"
            assert partition not in taken, "two take it"
            taken[partition] = agent
    holds = {each: Hold(owner=owner, epoch=2) for each, owner in (owners | taken).items()}
    return Roster(agents=roster.agents, holds=holds)


def counts(roster: Roster) -> list[int]:
    owners = list(owners_in(roster).values())
    return [owners.count(agent) for agent in roster.agents]


@given(rosters())
def test_two_rounds_deal_out_all_partitions_evenly_and_the_third_changes_nothing(
    drawn: tuple[Roster, int],
) -> None:
    roster, partitions = drawn
    settled = after_one_round(after_one_round(roster, partitions), partitions)
    assert sum(counts(settled)) == partitions
    assert max(counts(settled)) - min(counts(settled)) <= 1
    assert owners_in(after_one_round(settled, partitions)) == owners_in(settled)


@given(rosters())
def test_only_what_is_above_a_share_moves(drawn: tuple[Roster, int]) -> None:
    roster, partitions = drawn
    settled = after_one_round(after_one_round(roster, partitions), partitions)
    before, after = owners_in(roster), owners_in(settled)
    moved = sum(after[partition] != owner for partition, owner in before.items())
    # The least any even deal can move: what each holds above its share, the most holding most.
    least, more = divmod(partitions, len(roster.agents))
    shares = [least + (place < more) for place in range(len(roster.agents))]
    held = sorted(counts(roster), reverse=True)
    assert moved == sum(max(0, own - share) for own, share in zip(held, shares, strict=True))


@given(rosters())
def test_what_one_keeps_releases_and_takes_is_what_it_holds_and_what_nobody_does(
    drawn: tuple[Roster, int],
) -> None:
    roster, partitions = drawn
    owners = owners_in(roster)
    for agent in roster.agents:
        mine = wanted(agent, roster, partitions=partitions)
        own = {partition for partition, owner in owners.items() if owner == agent}
        assert {*mine.keep, *mine.release} == own
        assert not own.intersection(mine.take)


@given(rosters())
def test_who_is_not_alive_does_nothing(drawn: tuple[Roster, int]) -> None:
    roster, partitions = drawn
    mine = wanted(AgentId("a stranger"), roster, partitions=partitions)
    assert (mine.keep, mine.release, mine.take) == ((), (), ())
