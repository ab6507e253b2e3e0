"""The model that engines are judged by must itself be right."""

from __future__ import annotations

import json
from random import Random

import pytest

from tests.workflow_model import Ended, Grower, Node, ended, ended_at_last, mixed, words


def test_what_is_done_is_told_by_the_number() -> None:
    one = mixed(mixed(5, 1), 2)
    assert ended(["seq", [["call", 1], ["run", 2]]], 5) == Ended("completed", one)
    assert ended(["seq", [["call", 2], ["run", 1]]], 5) != Ended("completed", one)


def test_branches_begin_with_the_same_number() -> None:
    end = ended(["gather", [["call", 1], ["sleep", 9]]], 5)
    assert end.value == mixed(mixed(0, mixed(5, 1)), 5)


def test_a_map_is_a_gather_of_calls() -> None:
    mapped, gathered = ["map", [1, 2, 3], 2], ["gather", [["call", n] for n in (1, 2, 3)]]
    assert ended(mapped, 5) == ended(gathered, 5)


@pytest.mark.parametrize("failing", [["fail", 1], ["run_fail", 1], ["silence", 50], ["throw"]])
@pytest.mark.parametrize("around", ["seq", "gather"])
def test_a_failure_is_caught_by_the_nearest_try(failing: Node, around: str) -> None:
    body = [around, [["call", 1], failing]]
    assert ended(body, 5) == Ended("failed")
    assert ended(["try", body, ["call", 3]], 5) == Ended("completed", mixed(5, 3))


def test_compensations_run_in_reverse_also_those_of_what_was_caught() -> None:
    caught = ["try", ["seq", [["undo", 2], ["throw"]]], ["undo", 3]]
    assert ended(["seq", [["undo", 1], caught, ["throw"]]], 5) == Ended("failed", undone=(3, 2, 1))
    assert ended(["seq", [["undo", 1], caught]], 5).undone == ()


def test_a_child_has_compensations_of_its_own_and_fails_its_parent() -> None:
    child: Node = ["child", ["seq", [["undo", 7], ["throw"]]]]
    assert ended(["seq", [["undo", 1], child]], 5) == Ended("failed", undone=(1,))


def test_who_continues_ends_like_his_last_execution() -> None:
    node: Node = ["seq", [["call", 1], ["again", ["seq", [["call", 2]]]]]]
    first = ended(node, 5)
    assert (first.status, first.value) == ("continued", mixed(5, 1))
    assert ended_at_last(node, 5) == Ended("completed", mixed(mixed(5, 1), 2))
    assert ended(["child", node], 5).value == mixed(5, mixed(mixed(5, 1), 2))


def test_grown_programs_are_json_do_everything_and_end() -> None:
    seen: set[str] = set()
    statuses: set[str] = set()
    random = Random(7)
    for _ in range(500):
        node = Grower(random.randrange).program()
        assert json.loads(json.dumps(node)) == node
        seen.update(words(node))
        statuses.add(ended(node, 1).status)
    assert statuses == {"completed", "failed", "continued"}
    forks = {"seq", "gather", "try", "child", "again", "map"}
    fails = {"fail", "run_fail", "silence", "throw"}
    leaves = {"call", "flaky", "run", "signal", "sleep", "emit", "facts", "patched", "undo"}
    assert seen == forks | fails | leaves


def test_the_simplest_program_is_one_call() -> None:
    assert Grower(lambda _: 0).program() == ["seq", [["call", 0]]]
