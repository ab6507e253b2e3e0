"""How files and names are cut: what no import contract and no lint rule can see."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DRAWERS = {"base", "common", "helper", "helpers", "manager", "misc", "types", "util", "utils"}
"""Module names that say nothing about what is inside."""

EMPTY_CLASS_NAME = re.compile(r"^(Base|Abstract)[A-Z]|(Manager|Helper|Helpers|Utils|Impl)$")
EMPTY_FUNCTION_NAMES = {"do", "handle", "process"}

OPEN_END = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SOMEONES_MACHINE = re.compile(r"(?<![\w.:/])/(home|root|work|Users)/\w")

SQL = re.compile(
    r"^\s*("
    r"select\b.+\bfrom\b|insert\s+into\b|update\b.+\bset\b|delete\s+from\b|with\b.+\bas\s*\("
    r"|(create|alter|drop)\s+(or\s+replace\s+)?"
    r"(unique\s+)?(table|index|function|type|schema|view|materialized|trigger|database)\b"
    r")",
    re.IGNORECASE | re.DOTALL,
)


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def test_the_init_of_an_inner_package_is_a_docstring_and_nothing_else(
    modules: tuple[Path, ...], root: Path
) -> None:
    facades = {root / "octoqueue" / folder / "__init__.py" for folder in ("", "errors", "testing")}
    inner = [path for path in modules if path.name == "__init__.py" and path not in facades]
    guilty = [
        path
        for path in inner
        if [is_docstring(statement) for statement in parsed(path).body] != [True]
    ]
    assert inner
    assert not guilty


def test_every_folder_with_modules_is_a_package(modules: tuple[Path, ...]) -> None:
    folders = {path.parent for path in modules}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_no_module_is_a_drawer(modules: tuple[Path, ...]) -> None:
    assert not [path for path in modules if path.stem.strip("_") in DRAWERS]


def test_classes_and_functions_are_named_for_what_they_are(modules: tuple[Path, ...]) -> None:
    guilty = [
        f"{path}:{node.lineno} {node.name}"
        for path in modules
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.ClassDef) and EMPTY_CLASS_NAME.search(node.name))
        or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name in EMPTY_FUNCTION_NAMES
        )
    ]
    assert not guilty


def test_no_statement_of_sql_is_written_in_python(modules: tuple[Path, ...]) -> None:
    guilty: list[str] = []
    for path in modules:
        tree = parsed(path)
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.stmt) and is_docstring(node) and isinstance(node, ast.Expr)
        }
        guilty += [
            f"{path}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and SQL.match(node.value)
        ]
    assert not guilty


def test_nothing_that_ships_is_left_open_or_tied_to_a_machine(root: Path) -> None:
    guilty = [
        f"{path}:{number} {line.strip()}"
        for folder in ("octoqueue", "workers", "scalers")
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in {".lua", ".md", ".py", ".sql", ".typed", ".yaml"}
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if OPEN_END.search(line) or SOMEONES_MACHINE.search(line)
    ]
    assert not guilty
