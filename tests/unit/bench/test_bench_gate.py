from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gate.cases import CASES, REFERENCES, Cost
from bench.gate.ceilings import (
    RATIO,
    TOLERANCES,
    as_ceiling,
    excesses,
    figures_of,
    grown,
    slack,
)
from bench.gate.counting import NOTHING, Counts, Tracer, traced

START, RUN, BATCH = "a:start", "a:run", "a:batch"
PLAIN = {START: Counts(300, 1, 20), RUN: Counts(195, 19, 10), BATCH: Counts(5, 0.01, 0.2)}
COST = Cost(PLAIN, redis_commands=0.25, script_calls=0.02)
REFERENCE = Cost({"bare": Counts(200, 1, 1)}, redis_commands=0.04, script_calls=0.01)
CEILING = as_ceiling(COST, REFERENCE)


def with_more(function: str, more: Counts) -> Cost:
    return replace(COST, by_function=PLAIN | {function: PLAIN.get(function, NOTHING).plus(more)})


def exceeded(cost: Cost, *, same_python: bool = True) -> list[str]:
    found = excesses("drain", cost, REFERENCE, CEILING, same_python=same_python)
    return [excess.figure for excess in found]


def test_what_was_accepted_passes() -> None:
    assert exceeded(COST) == []


def test_one_call_more_a_message_does_not_pass() -> None:
    assert exceeded(with_more("b:new", Counts(5, 1, 0))) == ["calls of Python functions"]
    assert exceeded(with_more(START, Counts(5, 0, 1))) == ["calls of C functions"]


def test_some_calls_more_a_batch_are_chance() -> None:
    assert exceeded(with_more(BATCH, Counts(10, 0.4, 3))) == []


def test_work_within_a_function_does_not_pass_either() -> None:
    assert exceeded(with_more(BATCH, Counts(25, 0, 0))) == [RATIO]


def test_one_more_redis_command_in_ten_messages_does_not_pass() -> None:
    assert exceeded(replace(COST, redis_commands=0.35)) == ["Redis commands"]


@given(st.floats(min_value=0.0, max_value=1.0))
def test_what_has_become_cheaper_passes(share: float) -> None:
    by_function = {name: Counts(*(n * share for n in counts)) for name, counts in PLAIN.items()}
    cheaper = replace(COST, by_function=by_function, redis_commands=0.1)
    assert exceeded(cheaper) == []
    assert slack(cheaper, REFERENCE, CEILING) == pytest.approx(1 - share)


def test_another_python_has_wider_tolerances_and_redis_has_not() -> None:
    dearer = replace(with_more(START, Counts(50, 2, 2)), script_calls=1.0)
    assert exceeded(dearer, same_python=False) == ["script calls"]
    assert RATIO in exceeded(dearer)


def test_it_says_which_function_has_grown_and_which_is_new() -> None:
    dearer = replace(
        COST, by_function=PLAIN | {START: Counts(310, 2, 20), "b:new": Counts(25, 1, 0)}
    )
    assert grown(dearer, CEILING) == [
        "+20.0 bytecodes, +1.00 calls, +0.00 C calls  b:new (new)",
        "+10.0 bytecodes, +1.00 calls, +0.00 C calls  a:start",
    ]
    found = [str(each) for each in excesses("drain", dearer, REFERENCE, CEILING, same_python=True)]
    assert (
        "drain: 22.000 calls of Python functions a message, accepted 20.000, with tolerance 20.500"
        in found
    )


def test_every_figure_has_a_tolerance_and_every_case_a_reference() -> None:
    assert figures_of(COST, REFERENCE).keys() == TOLERANCES.keys()
    assert {case.reference for case in CASES} == REFERENCES.keys()


def called() -> int:
    return len("twelve bytes")


def test_calls_and_bytecodes_are_counted_by_function() -> None:
    tracer = Tracer()
    with traced(tracer):
        for _ in range(3):
            called()
    own = counts_of("called", tracer)
    assert own.calls == own.c_calls == 3
    assert own.bytecodes % 3 == 0
    assert 9 <= own.bytecodes <= 30


def counts_of(function: str, tracer: Tracer) -> Counts:
    (found,) = (
        counts for name, counts in tracer.by_function().items() if name.endswith(f":{function}")
    )
    return found


def test_the_same_work_has_the_same_count() -> None:
    def count() -> dict[str, Counts]:
        tracer = Tracer()
        with traced(tracer):
            sorted(range(50), key=lambda number: -number)
        return tracer.by_function()

    count()
    assert count() == count() != {}
