"""The call sites of actors, as mypy and pyright see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ACCEPTED = HERE / "accepts_actors.py"
REFUSED = HERE / "rejects_actors.py"


def marked() -> set[int]:
    """The lines of the second file that must be refused."""
    lines = REFUSED.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}


def run(*command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.stdout


def test_mypy_accepts_and_refuses_what_it_must() -> None:
    told = run("mypy", "--no-error-summary", "--hide-error-context", str(ACCEPTED), str(REFUSED))
    errors = [line for line in told.splitlines() if ": error:" in line]
    assert not [error for error in errors if ACCEPTED.name in error]
    assert {int(e.split(":")[1]) for e in errors if REFUSED.name in e} == marked()


def test_pyright_accepts_and_refuses_what_it_must() -> None:
    told = json.loads(run("pyright", "--project", str(HERE / "pyrightconfig.json"), "--outputjson"))
    found: dict[str, set[int]] = {ACCEPTED.name: set(), REFUSED.name: set()}
    for one in told["generalDiagnostics"]:
        if one["severity"] == "error":
            found[Path(one["file"]).name].add(one["range"]["start"]["line"] + 1)
    assert found == {ACCEPTED.name: set(), REFUSED.name: marked()}
