"""What a user gets: the library with its Lua, its SQL and its types, and nothing else of ours."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def wheel_files(root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_library(wheel_files: set[str], root: Path) -> None:
    kinds = {".lua", ".py", ".sql", ".typed"}
    wanted = {
        path.relative_to(root).as_posix()
        for path in (root / "octoqueue").rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    assert wanted <= wheel_files
    assert "octoqueue/py.typed" in wheel_files
    assert any(name.endswith(".lua") for name in wheel_files)
    assert any(name.endswith(".sql") for name in wheel_files)


def test_the_wheel_holds_nothing_but_the_library(wheel_files: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"octoqueue"}


def test_the_wheel_brings_the_licence_and_the_command(wheel_files: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel_files)
