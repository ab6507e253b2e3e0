"""The Lua files keep the rules of octoqueue/redis/lua/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LUA = Path(__file__).parents[2] / "octoqueue" / "redis" / "lua"
SCRIPTS = sorted(LUA.glob("*.lua"))
INCLUDES = sorted((LUA / "includes").glob("*.lua"))

SECTION = re.compile(r"^-- (Purpose|Guarantee|KEYS|ARGV|Returns|Bound) {1,}(\S.*)$")
INCLUDE_LINE = re.compile(r"^--#include (\w+)$", re.MULTILINE)
COMMAND = re.compile(r"redis\.p?call\(\s*(['\"])(\w+)\1", re.IGNORECASE)
COMPUTED_COMMAND = re.compile(r"redis\.p?call\(\s*[^'\"\s]")
UNBOUNDED = {"KEYS", "SCAN", "HSCAN", "SSCAN", "ZSCAN", "FLUSHDB", "FLUSHALL"}


def header_of(path: Path) -> dict[str, str]:
    """Return the sections of the comment a script opens with, in their order."""
    sections: dict[str, str] = {}
    current = ""
    for line in path.read_text().splitlines():
        if not line.startswith("-- "):
            break
        if found := SECTION.match(line):
            current = found[1]
            sections[current] = found[2]
        elif current:
            sections[current] += " " + line.removeprefix("--").strip()
    return sections


def code_of(path: Path) -> str:
    """Return a file without its comments."""
    return re.sub(r"--(?!\[\[).*$", "", path.read_text(), flags=re.MULTILINE)


def numbers_in(section: str) -> list[int]:
    return [int(number) for number in re.findall(r"\[(\d+)(?:…|\.\.\.)?\]", section)]


scripts = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
includes = pytest.mark.parametrize("path", INCLUDES, ids=lambda path: path.stem)
files = pytest.mark.parametrize("path", SCRIPTS + INCLUDES, ids=lambda path: path.stem)


def test_there_are_scripts() -> None:
    assert SCRIPTS


@scripts
def test_a_script_opens_with_its_purpose_its_keys_its_arguments_and_its_answer(path: Path) -> None:
    sections = header_of(path)
    assert next(iter(sections)) == "Purpose"
    assert {"KEYS", "ARGV", "Returns"} <= sections.keys()


@scripts
@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_keys_and_arguments_are_numbered_from_one_without_a_gap(path: Path, table: str) -> None:
    numbers = numbers_in(header_of(path)[table])
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


@scripts
@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_every_key_and_argument_a_script_names_is_in_its_header(path: Path, table: str) -> None:
    used = {int(number) for number in re.findall(rf"\b{table}\[(\d+)\]", code_of(path))}
    assert used <= set(numbers_in(header_of(path)[table]))


@scripts
def test_a_script_reads_the_arguments_it_documents(path: Path) -> None:
    assert re.search(r"\bKEYS\[", code_of(path))
    assert re.search(r"\bARGV\[", code_of(path))


@includes
def test_an_include_says_what_it_is_for_and_leaves_keys_and_arguments_alone(path: Path) -> None:
    assert path.read_text().startswith("-- ")
    assert not re.search(r"\b(KEYS|ARGV)\b", code_of(path))


@files
def test_a_script_never_scans_and_never_computes_a_command(path: Path) -> None:
    code = code_of(path)
    assert not {command.upper() for _, command in COMMAND.findall(code)} & UNBOUNDED
    assert not COMPUTED_COMMAND.search(code)


def test_every_include_exists_and_is_used() -> None:
    wanted = {
        name for path in SCRIPTS + INCLUDES for name in INCLUDE_LINE.findall(path.read_text())
    }
    assert wanted == {path.stem for path in INCLUDES}
