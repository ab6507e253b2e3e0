"""The object store that goes with the private servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.broker.claim_checks import claim_checks_from
from octoqueue.cli.installation import Installation
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.fleet.lines import Stream


class Silence:
    """Takes lines and forgets them."""

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        """Forget a line."""


@pytest.mark.parametrize("configured", [None, "memory:///"])
async def test_the_processes_of_an_installation_find_the_folder_their_callers_look_into(
    tmp_path: Path, configured: str | None
) -> None:
    environ = {"OCTOQUEUE_EMBEDDED__STATE_DIR": str(tmp_path)}
    if configured is not None:
        environ["OCTOQUEUE_STORAGE__URL"] = configured
    settings = Settings.load(environ=environ)
    async with Installation(settings, [], sink=Silence()) as installation:
        child = Settings.load(environ=environ | await installation._servers())
    assert child.redis.url is not None
    checks = claim_checks_from(child, private=True)
    assert checks.objects is not None
    await checks.objects.put("results/a", b"1")
    caller = claim_checks_from(settings, private=True).objects
    assert caller is not None
    if configured is None:
        assert await caller.get("results/a") == b"1"
        assert (tmp_path / "objects" / "results" / "a").is_file()
