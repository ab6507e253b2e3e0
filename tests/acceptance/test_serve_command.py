"""`octoqueue serve`, as a process."""

from __future__ import annotations

import signal
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.program import Program

if TYPE_CHECKING:
    from pathlib import Path

WEB = """
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
def root():
    return "here"

def create_app():
    return app

def broken_app():
    raise ValueError("broken")

@asynccontextmanager
async def failing(app):
    raise RuntimeError("no database")
    yield

def failing_app():
    return FastAPI(lifespan=failing)

@asynccontextmanager
async def waiting(app):
    print("waiting for a database", flush=True)
    try:
        await asyncio.sleep(1000)
        yield
    finally:
        print("tidied up", flush=True)

def waiting_app():
    return FastAPI(lifespan=waiting)

class Nothing:
    pass

nothing = Nothing()
"""


def serve(tmp_path: Path, attribute: str, *arguments: str) -> Program:
    (tmp_path / "my_web.py").write_text(WEB)
    environment = {"OCTOQUEUE_HTTP__APP": f"my_web:{attribute}"}
    return Program("serve", "--port", "0", *arguments, cwd=tmp_path, environment=environment)


@pytest.mark.parametrize("attribute", ["app", "create_app"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_application_or_what_makes_one_is_served_until_a_signal(
    tmp_path: Path, attribute: str, number: signal.Signals
) -> None:
    with serve(tmp_path, attribute) as program:
        (started,) = program.says(r"http_started url=http://127\.0\.0\.1:(\d+)")
        connection = HTTPConnection("127.0.0.1", int(started[1]))
        connection.request("GET", "/")
        assert connection.getresponse().read() == b'"here"'
        connection.close()
        program.signal(number)
        assert program.ends() == 0
    assert len(program.stderr) == 1


def test_it_can_be_stopped_while_the_application_waits_to_start(tmp_path: Path) -> None:
    with serve(tmp_path, "waiting_app") as program:
        program.says("waiting for a database")
        program.signal(signal.SIGTERM)
        assert program.ends() == 0
    assert program.stdout == ["waiting for a database", "tidied up"]
    assert program.stderr == []


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ("broken_app", "my_web:broken_app cannot be made: ValueError: broken (my_web.py:16)"),
        ("failing_app", "my_web:failing_app did not start: RuntimeError: no database"),
        (
            "nothing",
            "my_web:nothing is neither an ASGI application nor a function that makes one",
        ),
        ("missing", "my_web has no 'missing'"),
    ],
)
def test_what_keeps_an_application_from_starting_is_told_in_one_line(
    tmp_path: Path, attribute: str, told: str
) -> None:
    with serve(tmp_path, attribute) as program:
        assert program.ends() == 2
    assert program.stderr == [f"octoqueue: {told}"]
