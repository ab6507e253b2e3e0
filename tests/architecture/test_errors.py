"""The error tree: one public name an error, drawn where it is found."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import re

import pytest

from octoqueue import errors

LEAF = re.compile(r"^[ │]*[├└]── (\w+) ", re.MULTILINE)


def declared() -> dict[str, type]:
    """Every error in every module of the package."""
    modules = [
        importlib.import_module(f"octoqueue.errors.{info.name}")
        for info in pkgutil.iter_modules(errors.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, errors.OctoqueueError)
    }


def test_every_error_is_exported_and_has_its_line_in_the_tree() -> None:
    names = set(declared())
    assert set(errors.__all__) == names
    assert errors.__doc__ is not None
    drawn = LEAF.findall(errors.__doc__)
    assert sorted([*drawn, "OctoqueueError"]) == sorted(names)


def test_the_tree_is_drawn_as_the_classes_are_derived() -> None:
    assert errors.__doc__ is not None
    above = [errors.OctoqueueError]
    for line in errors.__doc__.splitlines():
        found = LEAF.match(line)
        if found:
            depth = line.index("── ") // 4
            error: type[errors.OctoqueueError] = getattr(errors, found[1])
            assert error.__bases__ == (above[depth - 1],), found[1]
            above[depth:] = [error]


@pytest.mark.parametrize("error", declared().values(), ids=lambda error: error.__name__)
def test_an_error_is_known_by_its_public_name(error: type) -> None:
    assert (error.__module__, error.__qualname__) == ("octoqueue.errors", error.__name__)
    assert pickle.loads(pickle.dumps(error)) is error
