"""What a worker process loads, and what it does once it has."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def said_by(program: str, directory: Path) -> list[str]:
    """Run a program in a new interpreter and an empty directory; return the lines it prints."""
    outside = {name: value for name, value in os.environ.items() if "OCTOQUEUE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("written", [False, True])
def test_a_worker_loads_no_server_and_a_yaml_reader_only_where_there_is_a_file(
    tmp_path: Path, *, written: bool
) -> None:
    if written:
        (tmp_path / "octoqueue.yaml").write_text("namespace: here\n", encoding="utf-8")
    program = """
import sys, octoqueue.cli.worker
from octoqueue.settings.root import Settings
Settings.load()
print(*(name for name in sys.modules if name in ("yaml", "octoqueue.embedded.services")))
"""
    assert said_by(program, tmp_path) == (["yaml"] if written else [])


def test_loading_a_command_collects_at_most_once_and_leaves_the_collector_as_it_was(
    tmp_path: Path,
) -> None:
    program = """
import gc
from octoqueue.cli.main import COMMANDS
collections = []
worker = next(entry for entry in COMMANDS if entry.name == "worker")
gc.callbacks.append(lambda phase, facts: phase == "start" and collections.append(facts))
worker.load()
print(len(collections) <= 1, gc.isenabled())
gc.disable()
worker.load()
print(gc.isenabled())
"""
    assert said_by(program, tmp_path) == ["True", "True", "False"]


def test_what_a_process_has_loaded_is_not_looked_through_again(tmp_path: Path) -> None:
    program = """
import gc, weakref
from octoqueue.cli.footprint import settle_in
class Node: pass
def gone():
    node = Node()
    node.itself = node
    return weakref.ref(node)
before = gone()
settle_in()
print(gc.get_freeze_count() > 1_000, before() is None, gc.get_threshold()[0] > 700)
after = gone()
gc.collect()
print(gc.isenabled(), after() is None)
"""
    assert said_by(program, tmp_path) == ["True", "True", "True", "True", "True"]
