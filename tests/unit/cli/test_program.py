"""What holds for the program whatever the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
import typer
from rich.table import Table

from octoqueue.cli.lazy import Entry
from octoqueue.cli.main import COMMANDS, main
from octoqueue.cli.output import print_table, report, run_async
from octoqueue.errors import ConfigError, StoreUnavailable

HEAVY = ("pydantic", "yaml", "dramatiq", "redis", "asyncpg", "asyncio", "uvloop", "fastapi")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_that_a_command_needs(arguments: list[str]) -> None:
    script = (
        "import sys; from octoqueue.cli.main import main; main(sys.argv[1:]);"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "LOADED []"


def test_the_module_is_the_program() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "octoqueue", "confg"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "octoqueue: No such command 'confg'. Did you mean 'config'?; see 'octoqueue --help'\n"
    )


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_listed_command_can_be_loaded(entry: Entry) -> None:
    assert entry.load().name == entry.name


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    help_text = capsys.readouterr().out
    assert all(entry.name in help_text for entry in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_without_a_command_the_help_is_shown_and_nothing_is_done(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "Usage: " in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--foo"], "No such option: --foo; see 'octoqueue --help'"),
        (["config", "show", "--foo"], "No such option: --foo; see 'octoqueue config show --help'"),
        (["config", "shwo"], "No such command 'shwo'. Did you mean 'show'?; see 'octoqueue config"),
        (["config", "show", "--config"], "Option '--config' requires an argument; see"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"octoqueue: {sentence}")
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


def test_a_wrong_command_line_is_a_json_object_for_those_who_asked_for_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cancel", "nonsense", "--json"]) == 2
    failure = json.loads(capsys.readouterr().err)
    assert failure["error"] == "UsageError"
    assert "'nonsense' is no message id" in failure["message"]


def test_the_version_is_that_of_the_installed_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.2.3")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "octoqueue 1.2.3\n"


def test_the_version_of_a_checkout_that_is_not_installed_is_not_invented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "octoqueue (not installed)\n"


def command_that(raises: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `octoqueue config` a command that raises."""

    def load(_: Entry) -> object:
        app = typer.Typer()

        @app.command()
        def config() -> None:
            raise raises

        return typer.main.get_command(app)

    monkeypatch.setattr(Entry, "load", load)


def test_an_error_that_no_command_reported_is_reported_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(StoreUnavailable("redis", reason="refused"), monkeypatch)
    assert main(["config"]) == 2
    assert capsys.readouterr().err == (
        "octoqueue: redis cannot be reached: refused; "
        "'octoqueue config show' says which server is meant\n"
    )


def test_ctrl_c_is_exit_code_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(KeyboardInterrupt(), monkeypatch)
    assert main(["config"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    command_that(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        main(["config"])


def test_a_reader_that_leaves_ends_the_program_quietly() -> None:
    script = (
        "import os, sys; from octoqueue.cli.main import main; sys.exit(main(['config', 'schema']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        answer = subprocess.run(
            [sys.executable, "-c", script], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert answer.returncode == 1
    assert answer.stderr == b""


def test_a_report_is_one_line_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    report(ConfigError("two\nlines about redis://u:geheim@h"))
    assert capsys.readouterr().err == "octoqueue: two lines about redis://u:****@h\n"


def test_a_narrow_terminal_folds_a_table_and_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(box=None, pad_edge=False)
    table.add_column("message", no_wrap=True)
    table.add_column("reason")
    table.add_column("P50 wait", no_wrap=True)
    identity = "01890a5d-ac96-774b-bcce-b302099a8057"
    table.add_row(identity, "no such address in the book", "1 m 15 s")
    print_table(table)
    shown = capsys.readouterr().out
    assert all(whole in shown for whole in (identity, "P50 wait", "1 m 15 s"))
    assert "…" not in shown
    assert len(shown.splitlines()) > 2


def test_asynchronous_code_runs_on_uvloop() -> None:
    import asyncio

    import uvloop

    async def loop_type() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    assert run_async(loop_type()) is uvloop.Loop
