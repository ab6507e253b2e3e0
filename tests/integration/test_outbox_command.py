"""`octoqueue outbox`: what it shows, retries and deletes, on a real database."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from octoqueue.cli.main import main
from octoqueue.primitives.ids import new_message_id, text_from_id
from tests.databases import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = text_from_id(new_message_id())
FAIL = "update outbox set failed_at = now(), last_error = '[red]' where actor = 'broken'"


@pytest.fixture
def dsn(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with asyncio.Runner() as runner:
        lent = fresh_database(postgres_dsn)
        dsn = runner.run(lent.__aenter__())
        monkeypatch.setenv("OCTOQUEUE_POSTGRES_URL", dsn)
        yield dsn
        runner.run(lent.__aexit__(None, None, None))


class Shell:
    """The command as a shell sees it."""

    def __init__(self, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._dsn = dsn
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["outbox", *words])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def answer(self, *words: str) -> dict[str, Any]:
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    def sql(self, text: str) -> object:
        async def run() -> object:
            connection = await asyncpg.connect(self._dsn)
            try:
                return await connection.fetchval(text)
            finally:
                await connection.close()

        return asyncio.run(run())


@pytest.fixture
def shell(dsn: str, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(dsn, capsys)
    assert "0002_pre_outbox" in shell.answer("migrate")["applied"]
    return shell


def test_migrating_twice_applies_nothing_more(shell: Shell) -> None:
    assert shell.answer("migrate") == {"applied": []}
    assert shell.run("migrate")[1] == "Nothing to apply.\n"


def test_an_empty_outbox_is_said_to_be_empty(shell: Shell) -> None:
    assert shell.run("list") == (0, "0 wait; 0 failed.\n", "")


def test_waiting_and_failed_messages_are_listed_with_their_error(shell: Shell) -> None:
    fine = str(shell.sql("select octoqueue_enqueue('fine', queue => 'coder', lane => 'low')"))
    broken = str(shell.sql("select octoqueue_enqueue('broken')"))
    shell.sql(FAIL)
    listed = shell.answer("list")
    assert (listed["pending"], listed["failed"]) == (1, 1)
    assert [each["message_id"] for each in listed["messages"]] == [fine, broken]
    (only,) = shell.answer("list", "--failed")["messages"]
    assert (only["state"], only["last_error"], only["queue"]) == ("failed", "[red]", None)
    code, out, _ = shell.run("list")
    assert code == 0
    assert "coder  low" in out
    assert "[red]" in out
    assert "1 wait, the oldest for" in out


def test_failed_messages_are_tried_again_by_id_or_all(shell: Shell) -> None:
    ids = [str(shell.sql("select octoqueue_enqueue('broken')")) for _ in range(3)]
    shell.sql(FAIL)
    assert shell.answer("retry", ids[1]) == {"messages": [ids[1]]}
    assert shell.answer("retry", "--all") == {"messages": sorted([ids[0], ids[2]])}
    assert shell.answer("list", "--failed")["messages"] == []


def test_deleting_shows_first_and_takes_only_what_failed(shell: Shell) -> None:
    waits = str(shell.sql("select octoqueue_enqueue('fine')"))
    broken = str(shell.sql("select octoqueue_enqueue('broken')"))
    shell.sql(FAIL)
    assert shell.run("delete", broken)[1] == "1 to be deleted; --yes does it.\n"
    code, out, err = shell.run("delete", broken, waits, "--yes")
    assert (code, out) == (1, "1 deleted.\n")
    assert f"no failed message {waits} is in the outbox" in err
    assert [each["message_id"] for each in shell.answer("list")["messages"]] == [waits]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("retry",), "name the messages, or say --all"),
        (("retry", UNKNOWN, "--all"), "name the messages, or say --all"),
        (("delete",), "name the messages"),
        (("retry", "nonsense"), "'nonsense' is no message id"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    shell: Shell, words: tuple[str, ...], told: str
) -> None:
    code, out, err = shell.run(*words)
    assert (code, out) == (2, "")
    assert told in err


def test_a_database_without_the_table_says_so(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = Shell(dsn, capsys).run("list")
    assert code == 2
    assert 'relation "outbox" does not exist' in err
