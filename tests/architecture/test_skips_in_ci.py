"""A skipped test is noticed: tests/conftest.py turns it into a failure in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import copy
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SUITE = {
    "test_by_call.py": """
import pytest

def test_it():
    pytest.skip("called off")
""",
    "test_by_mark.py": """
import pytest

@pytest.mark.skip(reason="marked off")
def test_it():
    pass
""",
    "test_by_fixture.py": """
import pytest

@pytest.fixture
def moon():
    pytest.skip("no moon tonight")

def test_it(moon):
    pass
""",
    "test_by_module.py": """
import pytest

pytest.skip("no module here", allow_module_level=True)
""",
    "test_expected_failure.py": """
import pytest

@pytest.mark.xfail
def test_it():
    raise ValueError
""",
}
REASONS = ("called off", "marked off", "no moon tonight", "no module here")


def run_suite(folder: Path, *, ci: str) -> str:
    """Run the suite in a process of its own; return what it printed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra"]
    done = subprocess.run(
        [*command, "--continue-on-collection-errors"],
        cwd=folder,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.fixture
def suite(root: Path, tmp_path: Path) -> Path:
    copy(root / "tests" / "conftest.py", tmp_path)
    for name, source in SUITE.items():
        (tmp_path / name).write_text(source)
    return tmp_path


def test_in_ci_every_kind_of_skip_fails_and_tells_its_reason(suite: Path) -> None:
    printed = run_suite(suite, ci="true")
    for reason in REASONS:
        assert f"skipped in CI: {reason}" in printed
    assert "1 failed, 1 xfailed, 3 errors" in printed


def test_on_a_laptop_a_skip_is_a_skip(suite: Path) -> None:
    printed = run_suite(suite, ci="")
    assert "4 skipped, 1 xfailed" in printed
