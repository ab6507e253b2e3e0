"""What all tests share: in CI a skipped test is a failed one, unless its reason is allowed here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

ALLOWED_SKIPS: tuple[str, ...] = ()
"""Beginnings of reasons with which a test may be skipped in CI. Each needs a comment saying why."""

# The contracts' assertions stand in modules that many tests import: before the first of them does.
pytest.register_assert_rewrite("tests.contract")

# A deadline measures the machine, not the code; a failure prints what reproduces it.
settings.register_profile("octoqueue", deadline=None, print_blob=True)
settings.register_profile("octoqueue-long", settings.get_profile("octoqueue"), max_examples=10_000)
settings.register_profile("octoqueue-ci", settings.get_profile("octoqueue"), derandomize=True)


def in_ci() -> bool:
    """Return whether nobody is there to notice a skipped test."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


settings.load_profile("octoqueue-ci" if in_ci() else "octoqueue")


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that tells its reason. Expected failures are not skips."""
    if not (in_ci() and report.skipped) or hasattr(report, "wasxfail"):
        return
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = told.removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason}\n(tests/conftest.py lists what may be skipped)"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test skipped itself, or a marker or a fixture did it."""
    report = yield
    refuse_skip(report)
    # Reports travel between processes as UTF-8, and what tests log need not be text.
    report.sections = [(name, readable(content)) for name, content in report.sections]
    return report


def readable(text: str) -> str:
    """Return `text` with its lone surrogates written out."""
    return text.encode(errors="backslashreplace").decode()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module skipped itself while it was imported."""
    report = yield
    refuse_skip(report)
    return report
