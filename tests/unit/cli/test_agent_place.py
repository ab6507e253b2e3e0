"""What an agent leaves behind for the one that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.cli.agent_place import ServerNote

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_servers_that_were_noted_last_are_known_to_who_follows(tmp_path: Path) -> None:
    ServerNote(tmp_path).write({"redis": 1, "postgres": 2})
    ServerNote(tmp_path).write({"redis": 3})
    assert ServerNote(tmp_path).read() == {"redis": 3}


def test_servers_that_cannot_be_noted_are_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServerNote(tmp_path / "gone").write({"redis": 1})
    assert [record.message for record in caplog.records] == ["servers_not_noted"]
    assert ServerNote(tmp_path / "gone").read() == {}
