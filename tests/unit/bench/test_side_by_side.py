from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from rich.console import Console

from bench import side_by_side
from bench.harness import Bench, Figure, Rounds, Scenario
from bench.peers import catalogue
from bench.peers.catalogue import BARE, EVERYONE, OURS, PING, chosen
from bench.peers.play import Tally
from bench.peers.rulers import Peer, Seen
from bench.side_by_side import BEST, CASES, Case, Failures, Goal, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.server import Server

PEERS = Path(catalogue.__file__).parent
MORE, LESS = Figure("speed", better="more"), Figure("cost", 1, better="less")

ROUNDS: Rounds = {
    OURS: {"speed": [100, 120, 110], "cost": [2, 3, 2]},
    BARE: {"speed": [200, 200, 200], "cost": [1, 1, 1]},
    "hare": {"speed": [20, 24, 22], "cost": [9, 9, 9]},
    "tortoise": {"speed": [1, 1, 1], "cost": [4, 4, 4]},
    "absent": {},
}


def a_peer(name: str) -> Peer:
    return next(peer for peer in EVERYONE if peer.name == name)


def a_bench() -> Bench:
    return Bench(server=cast("Server", None), messages=0)


def case_of(*rows: Row) -> Case:
    async def ruler(_peer: Peer, _bench: Bench) -> Mapping[str, float]:
        return {}

    return Case("race", "who is first", "drain", ruler, rows)


def test_the_best_peer_is_neither_ours_nor_a_reference() -> None:
    assert side_by_side.best_peer(ROUNDS, MORE) == "hare"
    assert side_by_side.best_peer(ROUNDS, LESS) == "tortoise"


def test_without_peers_there_is_no_best_one() -> None:
    assert side_by_side.best_peer({OURS: {"speed": [1]}, BARE: {"speed": [2]}}, MORE) is None


@pytest.mark.parametrize(
    ("figure", "goal", "reached", "enough"),
    [
        (MORE, Goal(5, BEST), 5, True),
        (MORE, Goal(6, BEST), 5, False),
        (MORE, Goal(0.5, BARE), 0.55, True),
        (MORE, Goal(150), 110, False),
        (LESS, Goal(2), 2, True),
        (LESS, Goal(1.9), 2, False),
        (LESS, Goal(2, BARE), 2, True),
    ],
)
def test_a_goal_is_judged_in_the_direction_of_its_figure(
    figure: Figure, goal: Goal, reached: float, *, enough: bool
) -> None:
    verdict = side_by_side.verdict(Row("race", figure), goal, ROUNDS)
    assert verdict is not None
    assert verdict["reached"] == pytest.approx(reached)
    assert verdict["enough"] is enough


@pytest.mark.parametrize("goal", [Goal(1, "absent"), Goal(1, "unheard of")])
def test_a_goal_against_who_was_not_measured_is_left_open(goal: Goal) -> None:
    assert side_by_side.verdict(Row("race", MORE), goal, ROUNDS) is None


def test_the_table_names_the_best_peer_and_the_ratio() -> None:
    rows = side_by_side.lines(case_of(Row("race, /s", MORE, (Goal(9, BEST),))), ROUNDS)
    page = StringIO()
    side_by_side.show_table(Console(file=page, width=160), rows)
    (line,) = [line for line in page.getvalue().splitlines() if "race" in line]
    assert [word.strip() for word in line.strip("│ ").split("│")] == [
        *("race, /s", "110", "22", "hare", "5.00"),
        "9 times hare: 5.00, missed",
    ]


def test_the_table_needs_no_peer() -> None:
    rows = side_by_side.lines(
        case_of(Row("race, /s", MORE, (Goal(9, BEST),))), {OURS: ROUNDS[OURS]}
    )
    page = StringIO()
    side_by_side.show_table(Console(file=page, width=160), rows)
    assert "race, /s" in page.getvalue()
    assert rows[0]["best"] is rows[0]["ratio"] is None


def test_two_processes_are_held_against_one() -> None:
    def drained(**rates: float) -> tuple[Scenario, Rounds]:
        scenario = Scenario(name="drain", question="", figures=(), sides=())
        return scenario, {side: {"messages/s": [rate]} for side, rate in rates.items()}

    measured = {
        "drain": drained(octoqueue=100, hare=10, tortoise=3),
        "drain2": drained(octoqueue=90, hare=18),
    }
    (row,) = side_by_side.scaling(measured)
    assert (row["ours"], row["best"], row["theirs"]) == (0.9, "hare", 1.8)
    assert [goal["enough"] for goal in row["goals"]] == [False]
    assert side_by_side.scaling({"drain": measured["drain"]}) == []


async def test_a_peer_that_fails_is_asked_once_and_its_reason_is_kept() -> None:
    asked: list[str] = []

    async def ruler(peer: Peer, _bench: Bench) -> Mapping[str, float]:
        asked.append(peer.name)
        raise RuntimeError("it lost its way")

    failures = Failures()
    case = Case("race", "who is first", "drain", ruler, ())
    side = failures.guarded(case, a_peer("huey"))
    assert [await side.run(a_bench()), await side.run(a_bench())] == [{}, {}]
    assert asked == ["huey"]
    assert failures.reasons == {("race", "huey"): "it lost its way"}


def test_of_a_long_reason_the_page_shows_what_is_said_last() -> None:
    traceback = "Traceback:\n  | File x\n  | UnknownCommandError: FUNCTION\n  +-----\n"
    assert side_by_side.last_line(traceback) == "UnknownCommandError: FUNCTION"
    assert side_by_side.last_line("") == ""


@pytest.mark.parametrize("name", [OURS, BARE, PING])
async def test_ours_and_the_references_may_not_fail(name: str) -> None:
    async def ruler(_peer: Peer, _bench: Bench) -> Mapping[str, float]:
        raise RuntimeError("no")

    side = Failures().guarded(Case("race", "who is first", "drain", ruler, ()), a_peer(name))
    with pytest.raises(RuntimeError, match="no"):
        await side.run(a_bench())


def test_peers_are_chosen_by_how_their_names_begin_and_references_always_come_along() -> None:
    names = [peer.name for peer in chosen(["taskiq", "HUEY"])]
    assert names == [OURS, BARE, PING, "taskiq, list", "taskiq, stream", "huey"]


def test_an_unknown_peer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'sidekiq'"):
        chosen(["sidekiq"])


@pytest.mark.parametrize(
    "words", [["bake"], ["--peers", "sidekiq"], ["--repeats", "0"], ["--repeats", "x"]]
)
def test_nonsense_on_the_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        side_by_side.parsed(words)


def test_every_case_is_measured_on_ours() -> None:
    ours = a_peer(OURS)
    for case in CASES:
        if case.name != "enqueue":
            assert case.needs in ours.can, case.name
    assert {"each", "together", "bulk"} <= ours.can


@pytest.mark.parametrize("peer", EVERYONE, ids=lambda peer: peer.name)
def test_every_peer_has_an_adapter_and_says_how_it_is_tuned(peer: Peer) -> None:
    assert (PEERS / "adapters" / f"{peer.adapter}.py").is_file()
    assert peer.tuning
    assert "each" in peer.can
    if peer.name not in {OURS, BARE, PING}:
        assert re.fullmatch(r"\d+\.\d+\.\d+", catalogue.version(peer))


@pytest.mark.parametrize("wanted", sorted((PEERS / "requirements").glob("*.in")), ids=str)
def test_peers_are_pinned_with_hashes_and_without_addresses(wanted: Path) -> None:
    pins = wanted.with_suffix(".txt").read_text()
    assert f"{wanted.stem}==" in pins
    assert pins.count("==") <= pins.count("--hash=sha256:") + pins.count(" ; ")
    assert "://" not in pins
    assert not re.search(r"^\s*-(-index|-extra|-find|i |f )", pins, re.MULTILINE)
    assert (PEERS / "adapters" / f"with_{wanted.stem}.py").is_file()


@pytest.mark.parametrize("name", ["package.json", "package-lock.json"])
def test_what_is_installed_for_node_is_pinned_without_addresses(name: str) -> None:
    text = (PEERS / name).read_text()
    assert re.search(r'"bullmq": "\d+\.\d+\.\d+"', text)
    assert "://" not in text


def test_a_tally_counts_what_all_threads_ran_where_others_can_read_it(tmp_path: Path) -> None:
    tally = Tally(str(tmp_path), "ran")
    with ThreadPoolExecutor(8) as threads:
        for _ in range(800):
            threads.submit(tally.tick)
    (file,) = tmp_path.glob("ran.*")
    count, last_ns = memoryview(file.read_bytes()).cast("q")
    assert count == 800
    assert last_ns > 0


def test_the_total_of_a_tally_is_over_all_processes() -> None:
    assert Seen([3, 0, 4], 17).total == 7
