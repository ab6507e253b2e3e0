from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.errors import (
    DeclarationError,
    InputInvalid,
    SignalInvalid,
    SignalUnknown,
    WorkflowNotDeclared,
)
from octoqueue.workflows.definitions import Registry, define

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from octoqueue.workflows.context import Context


@dataclass
class Order:
    number: int


async def ship(ctx: Context, order: Order) -> list[int]:
    return [order.number]


async def bare(ctx: Context) -> None:
    """Takes nothing."""


def test_the_types_of_a_function_are_found_although_its_ctx_is_known_to_checkers_only() -> None:
    found = define(ship, registry=Registry())
    assert (found.name, found.version) == ("ship", 1)
    assert (found.input_type, found.output_type) == (Order, list[int])
    assert found.input_of(found.input_from(Order(5))) == Order(5)
    assert found.output_of(found.output_from([1])) == [1]


def test_types_that_a_test_declares_inside_of_itself_are_found() -> None:
    @dataclass
    class Inner:
        word: str

    async def f(ctx: Context, given: Inner) -> Inner:
        return Inner(given.word)

    assert define(f, registry=Registry()).output_type is Inner


def test_a_function_without_annotations_takes_and_gives_any_json() -> None:
    async def f(ctx, given):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return given

    found = define(f, registry=Registry())
    assert (found.input_type, found.output_type) == (Any, Any)


def test_a_function_of_ctx_only_takes_no_input() -> None:
    found = define(bare, registry=Registry())
    assert not found.takes_input
    assert found.input_from(None) == b"null"
    with pytest.raises(InputInvalid, match="it takes no input"):
        found.input_from(5, workflow_id="w")


def test_an_input_of_the_wrong_type_names_workflow_and_field() -> None:
    with pytest.raises(InputInvalid) as caught:
        define(ship, registry=Registry()).input_from({"number": "x"}, workflow_id="order-1")
    error = caught.value
    assert (error.name, error.field, error.workflow_id) == ("ship", "input", "order-1")
    assert "number" in str(error)


class Opaque:
    """Something that has no JSON form."""


def plain(ctx: object) -> None: ...


async def stream(ctx: object) -> AsyncIterator[int]:
    yield 1


async def nothing() -> None: ...


async def much(ctx: object, a: int, b: int) -> None: ...


async def keyword(ctx: object, *, a: int) -> None: ...


async def rest(ctx: object, *args: int) -> None: ...


async def defaulted(ctx: object = None) -> None: ...


async def opaque(ctx: object, a: Opaque) -> None: ...


async def unknown(ctx: object, a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (plain, "must be an 'async def'"),
        (stream, "generator"),
        (nothing, r"\(ctx\) or \(ctx, input\)"),
        (much, r"\(ctx\) or \(ctx, input\)"),
        (keyword, r"\(ctx\) or \(ctx, input\)"),
        (rest, r"\(ctx\) or \(ctx, input\)"),
        (defaulted, "no default"),
        (opaque, "type of its input cannot be used"),
        (unknown, "Missing.*outside of TYPE_CHECKING"),
        (5, "must be an 'async def'"),
    ],
)
def test_a_function_that_cannot_be_a_workflow_is_refused_by_name(
    function: Callable[..., Any], why: str
) -> None:
    with pytest.raises(DeclarationError, match=why) as caught:
        define(function, name="it", registry=Registry())
    assert "workflow 'it'" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"name": "a\0b"}, {"name": "a\ud800"}, {"name": "a" * 201}, {"signals": {"a\0b": int}}],
)
def test_names_that_no_store_can_keep_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="characters that can be printed"):
        define(bare, registry=Registry(), **options)


@pytest.mark.parametrize("options", [{"version": 0}, {"deadline": timedelta(0)}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=next(iter(options))):
        define(bare, registry=Registry(), **options)


def test_the_highest_version_is_for_new_starts_and_each_is_found() -> None:
    registry = Registry()
    versions = [define(bare, version=each, registry=registry) for each in (1, 10, 2)]
    assert registry.get("bare") is versions[1]
    assert registry.get("bare", 2) is versions[2]
    with pytest.raises(WorkflowNotDeclared, match="bare version 3"):
        registry.get("bare", 3)
    with pytest.raises(WorkflowNotDeclared, match="there are: bare"):
        registry.get("other")


def test_one_name_and_version_is_one_function_which_may_be_imported_again() -> None:
    registry = Registry()
    define(bare, name="it", registry=registry)
    again = define(bare, name="it", registry=registry)
    assert registry.get("it") is again
    with pytest.raises(DeclarationError, match="declared twice"):
        define(ship, name="it", registry=registry)


def test_declared_signals_are_checked_by_name_and_type() -> None:
    found = define(bare, signals={"approve": bool}, registry=Registry())
    assert found.signal_from("approve", True, workflow_id="w") == b"true"  # noqa: FBT003
    with pytest.raises(SignalUnknown, match="approve"):
        found.signal_from("other", 1, workflow_id="w")
    with pytest.raises(SignalInvalid, match="'approve' of workflow 'w'"):
        found.signal_from("approve", "yes", workflow_id="w")


def test_undeclared_signals_take_any_json() -> None:
    found = define(bare, registry=Registry())
    assert found.signal_from("any", [1], workflow_id="w") == b"[1]"
