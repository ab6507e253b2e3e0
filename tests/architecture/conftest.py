"""The sources as the architecture tests see them, and a report of module sizes."""

from __future__ import annotations

from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LARGE_LINES = 400


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def modules() -> tuple[Path, ...]:
    """Return every Python module that ships: the library and the deployables."""
    return tuple(shipped_modules())


def shipped_modules() -> Iterator[Path]:
    """Yield the Python files of the library and of the deployables, in a stable order."""
    for folder in ("octoqueue", "workers", "scalers"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how big our files are; a reviewer decides what it means."""
    lines = {path: len(path.read_text().splitlines()) for path in shipped_modules()}
    code = {path: count for path, count in lines.items() if path.name != "__init__.py"}
    if len(code) < 2:
        return
    terminalreporter.section("module sizes")
    p90 = quantiles(code.values(), n=10)[-1]
    terminalreporter.line(
        f"{len(code)} modules, median {median(code.values()):.0f} lines, p90 {p90:.0f}"
    )
    for path, count in sorted(code.items(), key=lambda entry: -entry[1]):
        if count > LARGE_LINES:
            terminalreporter.line(f"  {count:5} {path.relative_to(ROOT)}")
