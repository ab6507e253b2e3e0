"""Every protection, against a program that really tries."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import SandboxUnavailable
from workers.sandbox.outcome import MIB, Ending, Limits, Outcome
from workers.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

SMALL = Limits(cpu_seconds=1, wall_seconds=60, memory_bytes=256 * MIB, file_bytes=1 * MIB)


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def shared() -> Generator[Path]:
    """A folder that everybody may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def python(sandbox: Sandbox, code: str, *, limits: Limits = SMALL) -> Outcome:
    program = await sandbox.python()
    assert program is not None, "no interpreter can run here"
    return await sandbox.run(program, "-I", "-S", "main.py", limits=limits, files={"main.py": code})


def last_line(outcome: Outcome) -> str:
    return outcome.stderr.strip().rpartition("\n")[2]


async def test_a_command_really_lists_what_is_there(sandbox: Sandbox, shared: Path) -> None:
    (shared / "here.txt").touch()
    outcome = await sandbox.run("/bin/ls", str(shared))
    assert (outcome.ending, outcome.exit_code, outcome.stdout) == (Ending.EXITED, 0, "here.txt\n")
    assert outcome.succeeded


async def test_a_failing_command_tells_its_code_and_its_words(sandbox: Sandbox) -> None:
    outcome = await sandbox.run("/bin/ls", "/tmp/there-is-no-such-thing")
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 2)
    assert "No such file" in outcome.stderr
    assert not outcome.succeeded


async def test_a_program_that_is_not_there_is_reported_not_raised(sandbox: Sandbox) -> None:
    outcome = await sandbox.run("/bin/no-such-program")
    assert outcome.ending is Ending.NOT_STARTED
    assert "FileNotFoundError" in outcome.stderr


async def test_endless_computing_ends_at_the_cpu_limit(sandbox: Sandbox) -> None:
    outcome = await python(sandbox, "while True: pass")
    assert outcome.ending is Ending.OUT_OF_CPU
    assert outcome.cpu_seconds < 2.5


async def test_ignoring_the_cpu_signal_helps_for_one_second_only(sandbox: Sandbox) -> None:
    outcome = await python(
        sandbox,
        "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    )
    assert (outcome.ending, outcome.signal) == (Ending.OUT_OF_CPU, signal.SIGKILL)


async def test_endless_waiting_ends_at_the_wall_clock_limit(sandbox: Sandbox) -> None:
    limits = Limits(wall_seconds=0.3)
    outcome = await sandbox.run("/bin/sleep", "60", limits=limits)
    assert (outcome.ending, outcome.signal) == (Ending.OUT_OF_TIME, signal.SIGKILL)
    assert 0.3 <= outcome.wall_seconds < 5


async def test_a_memory_hog_is_refused_its_memory(sandbox: Sandbox) -> None:
    outcome = await python(sandbox, "x = bytearray(2 << 30)")
    assert last_line(outcome) == "MemoryError"


async def test_a_fork_bomb_has_no_children(sandbox: Sandbox) -> None:
    outcome = await python(
        sandbox,
        """
import os
n = 0
for attempt in range(50):
    try:
        if os.fork() == 0:
            while True:
                os.fork()
        n += 1
    except OSError:
        pass
print("children", n)
""",
    )
    assert outcome.stdout == "children 0\n"


async def test_a_command_has_no_threads_and_cannot_start_programs(sandbox: Sandbox) -> None:
    outcome = await python(
        sandbox,
        """
import _thread, _posixsubprocess, os
try:
    _thread.start_new_thread(print, ("thread",))
except RuntimeError as e:
    print(e)
try:
    os.posix_spawn("/bin/ls", ["ls"], {})
except OSError as e:
    print(type(e).__name__)
""",
    )
    assert outcome.stdout == "can't start new thread\nBlockingIOError\n"


async def test_a_large_file_is_cut_off(sandbox: Sandbox) -> None:
    outcome = await python(
        sandbox,
        """
import os
with open("big", "wb", buffering=0) as f:
    try:
        while True:
            f.write(bytes(1 << 16))
    except OSError as e:
        print(e.strerror, os.path.getsize("big"))
""",
    )
    assert outcome.stdout == f"File too large {1 * MIB}\n"


async def test_a_program_that_does_not_mind_the_file_limit_is_killed_by_it(
    sandbox: Sandbox,
) -> None:
    outcome = await python(
        sandbox,
        """
import signal
import tempfile
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
open("big", "wb").write(bytes(2 << 20))
""",
    )
    assert outcome.ending is Ending.FILE_TOO_LARGE


async def test_descriptors_run_out(sandbox: Sandbox) -> None:
    outcome = await python(sandbox, "x = [open('f', 'w') for _ in range(100)]")
    assert "Too many open files" in last_line(outcome)


async def test_output_is_kept_up_to_the_limit_and_said_to_be_cut(sandbox: Sandbox) -> None:
    outcome = await sandbox.run("/usr/bin/yes", "é" * 100, limits=Limits(output_bytes=1001))
    assert (outcome.ending, outcome.signal) == (Ending.OUT_OF_OUTPUT, signal.SIGPIPE)
    assert outcome.is_truncated
    assert outcome.stdout.startswith("é" * 100 + "\n")
    assert len(outcome.stdout.encode()) <= 1003


async def test_output_that_is_no_text_is_made_one(sandbox: Sandbox) -> None:
    outcome = await python(
        sandbox, r"import sys; sys.stdout.buffer.write(b'a\xff\x00b'); sys.stderr.write('e')"
    )
    assert (outcome.stdout, outcome.stderr) == ("a\ufffd\0b", "e")


async def test_nothing_of_the_worker_s_environment_or_descriptors_is_inherited(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOQUEUE_SECRET", "leaked")
    async with Sandbox() as fresh:
        outcome = await python(
            fresh,
            """
import os, sys
print(sorted(os.environ))
for fd in range(3, 60):
    try:
        os.fstat(fd)
        if sys.prefix != f"/proc/self/fd/{fd}":
            print("open", fd)
    except OSError:
        pass
print(os.read(0, 10))
""",
        )
    names = "['HOME', 'LANG', 'LC_ALL', 'PATH', 'TMPDIR', 'TZ']"
    assert outcome.stdout.splitlines() == [names, "b''"], outcome.stderr


async def test_each_command_has_a_folder_of_its_own_that_is_gone_afterwards(
    sandbox: Sandbox,
) -> None:
    code = """
import os
os.makedirs("a/b/c"); open("a/b/c/f", "w").write("x"); os.symlink("/etc", "link")
os.mkdir("a/locked", 0)
print(os.getcwd(), sorted(os.listdir(".")))
"""
    first, second = await asyncio.gather(python(sandbox, code), python(sandbox, code))
    folders = [outcome.stdout.split()[0] for outcome in (first, second)]
    assert "['a', 'link', 'main.py']" in first.stdout, first.stderr
    assert folders[0] != folders[1]
    await until(lambda: not any(map(exists, folders)))
    assert exists("/etc/passwd")


async def test_a_very_deep_folder_is_deleted_too(sandbox: Sandbox) -> None:
    code = """
import os
print(os.getcwd())
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
"""
    outcome = await python(sandbox, code, limits=Limits(cpu_seconds=30, wall_seconds=60))
    assert outcome.succeeded, outcome.stderr
    await until(lambda: not exists(outcome.stdout.strip()))


async def test_closing_deletes_whatever_is_left_however_deep() -> None:
    async with Sandbox() as sandbox:
        code = """
import os, time
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
time.sleep(60)
"""
        where = (await sandbox.run("/bin/pwd")).stdout.strip()
        limits = Limits(cpu_seconds=30, wall_seconds=60)
        task = asyncio.create_task(python(sandbox, code, limits=limits))
        home = f"{where}/.."
        deep = "/d" * 50
        await until(lambda: any(exists(f"{folder}{deep}") for folder in inside(home)))
    with pytest.raises(SandboxUnavailable):
        await task
    assert not exists(home)


async def test_a_command_does_not_run_as_root_nor_as_anybody_who_runs_anything_else(
    sandbox: Sandbox,
) -> None:
    (one, other) = await asyncio.gather(
        *(python(sandbox, "import os; print(os.getresuid(), os.getgroups())") for _ in range(2))
    )
    assert " 0," not in one.stdout
    if os.geteuid() == 0:
        assert one.stdout != other.stdout
        assert "65534" not in one.stdout


async def test_a_command_has_no_sockets_and_no_power_over_other_processes(
    sandbox: Sandbox,
) -> None:
    if "seccomp" in await sandbox.missing_parts():
        pytest.skip("this machine has no seccomp")
    outcome = await python(
        sandbox,
        f"""
import _socket, os, signal
for kind in (_socket.AF_INET, _socket.AF_UNIX, _socket.AF_INET6):
    try:
        _socket.socket(kind, _socket.SOCK_STREAM)
    except OSError as e:
        print(type(e).__name__)
for act in (lambda: os.kill({os.getpid()}, 0), lambda: os.kill(os.getppid(), 9), os.setsid):
    try:
        act()
    except OSError as e:
        print(type(e).__name__)
""",
    )
    assert outcome.stdout == "PermissionError\n" * 6


async def test_a_command_changes_nothing_about_files_and_processes_of_its_own_user(
    sandbox: Sandbox,
) -> None:
    if "seccomp" in await sandbox.missing_parts():
        pytest.skip("this machine has no seccomp")
    outcome = await python(
        sandbox,
        """
import fcntl, os
reader, writer = os.pipe()
for act in (
    lambda: os.chmod("main.py", 0o777),
    lambda: os.chown("main.py", -1, -1),
    lambda: os.utime("main.py"),
    lambda: os.setxattr("main.py", "user.mark", b"x"),
    lambda: os.setpriority(os.PRIO_PROCESS, 0, 19),
    lambda: os.sched_setaffinity(0, {0}),
    lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid()),
    lambda: fcntl.fcntl(reader, fcntl.F_SETSIG, 9),
):
    try:
        act()
    except OSError as e:
        print(type(e).__name__)
""",
    )
    assert outcome.stdout == "PermissionError\n" * 8, outcome.stderr


async def test_a_command_writes_nowhere_but_in_its_folder_and_reads_only_what_is_readable(
    sandbox: Sandbox, shared: Path
) -> None:
    if "landlock" in await sandbox.missing_parts():
        pytest.skip("this machine has no landlock")
    secret = shared / "secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    async with Sandbox(readable=("/var/tmp",)) as strict:
        outcome = await python(
            strict,
            f"""
def attempt(path, mode):
    try:
        with open(path, mode) as f:
            f.read() if mode == "r" else f.write("x")
        print("could", mode)
    except OSError as e:
        print(type(e).__name__)
attempt("own", "w"); attempt("own", "r"); attempt("/etc/hostname", "r")
attempt({str(secret)!r}, "r"); attempt("/tmp/octoqueue-probe", "w"); attempt("/dev/shm/x", "w")
attempt("/proc/1/environ", "r"); attempt("/proc/self/environ", "r"); attempt("/root/.profile", "r")
""",
        )
    assert (
        outcome.stdout.splitlines() == ["could w", "could r", "could r"] + ["PermissionError"] * 6
    )


async def test_set_user_id_programs_give_nothing(sandbox: Sandbox) -> None:
    if "no_new_privs" in await sandbox.missing_parts():
        pytest.skip("this machine has no no_new_privs")
    outcome = await python(sandbox, "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))")
    assert outcome.stdout == "1\n", outcome.stderr


async def test_many_commands_at_once_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    outcomes = await asyncio.gather(
        *(sandbox.run("/bin/echo", str(number)) for number in range(200))
    )
    assert [outcome.stdout for outcome in outcomes] == [f"{number}\n" for number in range(200)]


async def test_a_cancelled_caller_takes_its_command_with_it(sandbox: Sandbox) -> None:
    marker = f"{os.getpid()}.{threading.get_ident()}"
    limits = Limits(wall_seconds=60)
    task = asyncio.create_task(sandbox.run("/bin/sleep", marker, limits=limits))
    await until(lambda: bool(processes(marker)))
    task.cancel()
    await until(lambda: not processes(marker))
    assert (await sandbox.run("/bin/echo", "on")).stdout == "on\n"


async def test_a_caller_cancelled_while_the_launcher_is_lost_stays_cancelled() -> None:
    async with Sandbox() as sandbox:
        task = asyncio.create_task(sandbox.run("/bin/sleep", "60"))
        await until(lambda: bool(sandbox._link and sandbox._link._answers))
        assert sandbox._link
        sandbox._link.is_lost = True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_lost_launcher_takes_its_commands_with_it_and_is_replaced(
    sandbox: Sandbox,
) -> None:
    marker = f"{os.getpid()}.5"
    limits = Limits(wall_seconds=60)
    task = asyncio.create_task(sandbox.run("/bin/sleep", marker, limits=limits))
    await until(lambda: bool(processes(marker)))
    (command,) = processes(marker)
    launcher = parent_of(command)
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(SandboxUnavailable):
        await task
    await until(lambda: not processes(marker))
    assert (await sandbox.run("/bin/echo", "again")).stdout == "again\n"


async def test_closing_the_sandbox_leaves_no_process_and_no_folder() -> None:
    marker = f"{os.getpid()}.7"
    async with Sandbox() as sandbox:
        where = (await sandbox.run("/bin/pwd")).stdout.strip()
        limits = Limits(wall_seconds=60)
        task = asyncio.create_task(sandbox.run("/bin/sleep", marker, limits=limits))
        await until(lambda: bool(processes(marker)))
    with pytest.raises(SandboxUnavailable):
        await task
    await until(lambda: not processes(marker))
    assert not exists(f"{where}/..")


async def test_a_killed_launcher_s_folders_are_deleted_by_its_worker() -> None:
    async with Sandbox() as sandbox:
        marker = f"{os.getpid()}.9"
        where = (await sandbox.run("/bin/pwd")).stdout.strip()
        task = asyncio.create_task(sandbox.run("/bin/sleep", marker))
        await until(lambda: bool(processes(marker)))
        os.kill(parent_of(processes(marker)[0]), signal.SIGKILL)
        with pytest.raises(SandboxUnavailable):
            await task
    assert not exists(f"{where}/..")


def inside(path: str) -> list[str]:
    return [str(entry) for entry in Path(os.path.normpath(path)).iterdir()]


def exists(path: str) -> bool:
    return os.path.lexists(os.path.normpath(path))


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def processes(argument: str) -> list[int]:
    """Processes of /bin/sleep with this argument."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[-2:-1] == [argument.encode()]:
                found.append(int(entry.name))
    return found


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for a fact about other processes."""
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.01)
