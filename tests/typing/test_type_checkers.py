"""The call sites of actors, as mypy and pyright see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ACCEPTED = sorted(HERE.glob("accepts_*.py"))
REFUSED = sorted(HERE.glob("rejects_*.py"))


def marked(file: Path) -> set[int]:
    """The lines of a file that must be refused."""
    lines = file.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}


def expected() -> dict[str, set[int]]:
    """The lines with an error, by the name of each file."""
    return {file.name: set[int]() for file in ACCEPTED} | {f.name: marked(f) for f in REFUSED}


def run(*command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.stdout


def test_mypy_accepts_and_refuses_what_it_must() -> None:
    files = map(str, ACCEPTED + REFUSED)
    told = run("mypy", "--no-error-summary", "--hide-error-context", *files)
    found = expected().fromkeys(expected(), set[int]())
    for error in told.splitlines():
        place, *_ = error.partition(": error:")
        name, _, line = place.partition(":")
        if ": error:" in error and Path(name).name in found:
            found[Path(name).name] = found[Path(name).name] | {int(line)}
    assert found == expected()


def test_pyright_accepts_and_refuses_what_it_must() -> None:
    told = json.loads(run("pyright", "--project", str(HERE / "pyrightconfig.json"), "--outputjson"))
    found: dict[str, set[int]] = {file.name: set() for file in ACCEPTED + REFUSED}
    for one in told["generalDiagnostics"]:
        if one["severity"] == "error":
            found[Path(one["file"]).name].add(one["range"]["start"]["line"] + 1)
    assert found == expected()
