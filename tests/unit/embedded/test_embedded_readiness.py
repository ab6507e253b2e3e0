"""What a server says about itself, played by a socket that says it."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded import postgres_server, redis_server
from octoqueue.embedded.postgres_server import ask_postgres
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.redis_server import ask_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


@contextmanager
def answering(path: Path, answer: bytes | None) -> Generator[None]:
    """Listen on `path` and answer one caller; None keeps silent until the caller hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(1024)
                if answer is None:
                    caller.recv(1024)
                else:
                    caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def refusal(sqlstate: str) -> bytes:
    return message(b"E", f"SFATAL\0VFATAL\0C{sqlstate}\0Mno\0\0".encode())


WELCOME = message(b"R", struct.pack("!i", 0)) + message(b"S", b"in_hot_standby\0off\0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.mark.parametrize("ask", [ask_redis, ask_postgres])
def test_where_there_is_no_socket_there_is_no_server(
    path: Path, ask: Callable[[Path], Readiness]
) -> None:
    assert ask(path) is Readiness.ABSENT


@pytest.mark.parametrize("ask", [ask_redis, ask_postgres])
def test_a_socket_that_was_left_behind_is_no_server(
    path: Path, ask: Callable[[Path], Readiness]
) -> None:
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    assert path.exists()
    assert ask(path) is Readiness.ABSENT


@pytest.mark.parametrize(
    ("answer", "readiness"),
    [
        (b"+PONG\r\n", Readiness.READY),
        (b"-BUSY Redis is busy running a script.\r\n", Readiness.READY),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Readiness.STARTING),
        (b"", Readiness.STARTING),
        (None, Readiness.STARTING),
    ],
)
def test_redis_is_as_far_as_it_says(
    path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, readiness: Readiness
) -> None:
    monkeypatch.setattr(redis_server, "_ANSWER_SECONDS", 0.1)
    with answering(path, answer):
        assert ask_redis(path) is readiness


@pytest.mark.parametrize(
    ("answer", "readiness"),
    [
        (WELCOME + message(b"Z", b"I"), Readiness.READY),
        (refusal("53300"), Readiness.READY),  # too many connections
        (refusal("57P03"), Readiness.STARTING),  # the database system is starting up
        (refusal("57P01"), Readiness.STARTING),  # terminating
        (refusal("3D000"), Readiness.UNFINISHED),  # database "octoqueue" does not exist
        (WELCOME + refusal("3D000"), Readiness.UNFINISHED),
        (WELCOME, Readiness.STARTING),
        (b"E\0", Readiness.STARTING),
        (b"", Readiness.STARTING),
        (None, Readiness.STARTING),
    ],
)
def test_postgres_is_as_far_as_it_says(
    path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, readiness: Readiness
) -> None:
    monkeypatch.setattr(postgres_server, "_ANSWER_SECONDS", 0.1)
    with answering(path, answer):
        assert ask_postgres(path) is readiness
