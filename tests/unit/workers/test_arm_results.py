from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from inspect import signature
from typing import Any

import pytest

import octoqueue
from octoqueue.errors import DeclarationError
from octoqueue.models.offline.answers import reviewed
from octoqueue.settings.root import Settings
from workers import admin
from workers.arms import coder, executor, guardian, judge, planner, retriever
from workers.arms.executor import result_from
from workers.orchestrator.asking import (
    GIVE_UP,
    MAKE_PLAN,
    REVIEW,
    SCREEN_GOAL,
    SCREEN_RESULT,
    WORKING,
    Arm,
)
from workers.resources import LIBRARY, MODEL, TASKS, lifespan_of
from workers.sandbox.outcome import Ending, Outcome
from workers.sandbox.programs import Command

COMMAND = Command("/bin/ls", ("/tmp",))
FINE = Outcome(
    ending=Ending.EXITED,
    exit_code=0,
    signal=None,
    stdout="a\nb\n",
    stderr="",
    is_truncated=False,
    cpu_seconds=0.01,
    wall_seconds=0.02,
)


def accepted(outcome: Outcome) -> bool:
    return all(check["passed"] for check in result_from(COMMAND, outcome)["checks"])


def test_a_command_that_succeeded_passes_with_its_output_in_full() -> None:
    result = result_from(COMMAND, FINE)
    assert result["summary"] == "`ls /tmp` wrote 2 lines: exit code 0."
    assert result["output"]["stdout"] == "a\nb\n"
    assert accepted(FINE)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (replace(FINE, exit_code=2, stderr="ls: no such file\n"), "exit code 2: ls: no such file"),
        (replace(FINE, exit_code=None, ending=Ending.OUT_OF_TIME, signal=9), "time limit"),
        (replace(FINE, exit_code=None, ending=Ending.OUT_OF_CPU, signal=24), "cpu limit"),
        (replace(FINE, exit_code=None, ending=Ending.NOT_STARTED, stderr="boom"), "not started"),
    ],
)
def test_a_command_that_did_not_succeed_fails_with_the_reason(outcome: Outcome, told: str) -> None:
    (check,) = result_from(COMMAND, outcome)["checks"]
    assert not check["passed"]
    assert told in check["detail"]


def test_a_listing_of_a_folder_that_changes_meanwhile_is_a_result() -> None:
    gaps = replace(FINE, exit_code=1, stderr="ls: cannot access '/tmp/gone'\n")
    assert accepted(gaps)
    assert result_from(COMMAND, gaps)["summary"].endswith("exit code 1.")
    assert not accepted(replace(gaps, stdout=""))


def test_output_cut_at_the_limit_is_a_result_that_says_so() -> None:
    cut = replace(FINE, exit_code=None, ending=Ending.OUT_OF_OUTPUT, signal=13, is_truncated=True)
    result = result_from(COMMAND, cut)
    assert accepted(cut)
    assert result["summary"].endswith("these are the first 2 lines.")
    assert result["output"]["truncated"] is True


def test_long_errors_are_told_in_part() -> None:
    (check,) = result_from(COMMAND, replace(FINE, exit_code=1, stderr="x" * 5000))["checks"]
    assert len(check["detail"]) < 500


def test_whom_the_workflow_asks_is_an_actor_of_that_queue_that_takes_what_it_is_asked() -> None:
    for module in (planner, executor, coder, guardian, retriever, judge, admin):
        assert module.lifespan
    actors = octoqueue.get_broker().actors
    asked: list[Arm[Any]] = [MAKE_PLAN, SCREEN_GOAL, SCREEN_RESULT, REVIEW, GIVE_UP]
    for arm in (*asked, *WORKING.values()):
        actor = actors[arm.actor_name]
        assert actor.queue_name == arm.queue_name
        assert actor.options["time_limit"] <= timedelta(minutes=5) / timedelta(milliseconds=1)
    question = {"goal": "g", "given": [], "findings": []}
    for arm in WORKING.values():
        function: Any = actors[arm.actor_name]
        signature(function.function).bind(**question)


def test_the_offline_review_and_the_arms_agree_on_the_form_of_checks() -> None:
    import orjson

    assert reviewed(orjson.dumps(result_from(COMMAND, FINE)).decode()).accepted


async def test_a_resource_is_there_while_its_lifespan_lasts_and_opened_once() -> None:
    with pytest.raises(DeclarationError, match="octoqueue worker"):
        LIBRARY.get()
    lifespan, again = lifespan_of(LIBRARY, MODEL), lifespan_of(LIBRARY)
    async with lifespan(Settings()):
        first = LIBRARY.get()
        async with again(Settings()):
            assert LIBRARY.get() is first
        assert LIBRARY.get() is first
    with pytest.raises(DeclarationError):
        LIBRARY.get()
    with pytest.raises(DeclarationError, match="task store"):
        TASKS.get()
