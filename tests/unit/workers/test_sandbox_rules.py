from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.sandbox.confinement import seccomp_program
from workers.sandbox.frames import FrameReader, frame_from
from workers.sandbox.programs import (
    ALLOWED,
    Command,
    CommandRules,
    Refusal,
    installed_programs,
)

if TYPE_CHECKING:
    from pathlib import Path

RULES = CommandRules(
    programs={name: f"/usr/bin/{name}" for name in ALLOWED},
    readable=("/tmp", "/srv/data"),
    resolve=lambda path: os.path.normpath(path.replace("/tmp/link", "/root")),
)


@pytest.mark.parametrize(
    "argv",
    [
        ["ls"],
        ["ls", "-la", "/tmp"],
        ["ls", "/srv/data/deep/er"],
        ["cat", "notes.txt"],
        ["head", "-n", "5", "/tmp/a"],
        ["head", "-20", "/tmp/a"],
        ["find", "/tmp", "-name", "*.py", "-type", "f", "-maxdepth", "2"],
        ["grep", "-rn", "a; rm -rf /", "/tmp"],
        ["sort", "-k", "2,3n", "/tmp/a"],
        ["date", "-u", "+%Y-%m-%d"],
        ["echo", "-e", "$(reboot)", "`x`", "../.."],
        ["uniq", "-c", "/tmp/a"],
    ],
    ids=" ".join,
)
def test_harmless_commands_are_allowed_as_they_are(argv: list[str]) -> None:
    assert RULES.check(argv) == Command(f"/usr/bin/{argv[0]}", tuple(argv[1:]))


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ([], "no command"),
        (["rm", "-rf", "/"], "not among"),
        (["bash", "-c", "ls"], "not among"),
        (["python3", "-c", "1"], "not among"),
        (["/bin/ls"], "not among"),
        (["ls", "/root"], "not below"),
        (["ls", "/"], "not below"),
        (["ls", "/tmpfoo"], "not below"),
        (["cat", "/tmp/../etc/shadow"], "not below"),
        (["cat", "/tmp/link/.ssh/id_rsa"], "not below"),
        (["cat", "../../secret"], "not below"),
        (["cat"], "operands"),
        (["ls", "--color"], "may not be given"),
        (["ls", "-L", "/tmp"], "may not be given"),
        (["find", "/tmp", "-exec", "rm", "{}", ";"], "may not be given"),
        (["find", "/tmp", "-delete"], "may not be given"),
        (["find", "/tmp", "-fprintf", "x"], "may not be given"),
        (["find", "-L", "/tmp"], "may not be given"),
        (["find", "/tmp", "-maxdepth", "99"], "does not take"),
        (["find", "/tmp", "-name"], "does not take"),
        (["sort", "-o", "x", "/tmp/a"], "may not be given"),
        (["sort", "--compress-program=sh", "/tmp/a"], "may not be given"),
        (["tail", "-f", "/tmp/a"], "may not be given"),
        (["head", "-n", "-5; ls", "/tmp/a"], "does not take"),
        (["uniq", "/tmp/a", "/tmp/b"], "operands"),
        (["date", "-s", "2020-01-01"], "may not be given"),
        (["date", "01010000"], "operands"),
        (["grep", "-f", "x", "/tmp"], "may not be given"),
        (["grep", "x"], "operands"),
        (["wc", "--files0-from=/etc/passwd"], "may not be given"),
        (["du", "--files0-from=x"], "may not be given"),
        (["cat", "a\0b"], "NUL"),
        (["echo", "x" * 5000], "too long"),
        (["echo", *["x"] * 40], "too many"),
    ],
    ids=lambda value: (" ".join(value)[:40] or "empty") if isinstance(value, list) else None,
)
def test_what_could_do_more_than_print_is_refused_with_its_reason(
    argv: list[str], why: str
) -> None:
    refused = RULES.check(argv)
    assert isinstance(refused, Refusal)
    assert why in refused.reason


@given(
    argv=st.lists(
        st.one_of(
            st.sampled_from(sorted(ALLOWED)),
            st.sampled_from(["-exec", "-delete", "-o", "-f", "--", "-", "/root/x", "..", "/tmp/a"]),
            st.text(max_size=12),
        ),
        max_size=6,
    )
)
def test_whatever_is_allowed_stays_below_the_roots_and_keeps_its_arguments(
    argv: list[str],
) -> None:
    allowed = RULES.check(argv)
    if isinstance(allowed, Command):
        assert argv[0] in ALLOWED
        assert allowed.arguments == tuple(argv[1:])
        if argv[0] not in {"echo", "find"}:  # find may look for a file of such a name
            assert not {"-exec", "-delete", "-f", "--", "-"} & set(argv[1:])
        if argv[0] not in {"echo", "grep", "find", "date"}:
            assert not {"/root/x", ".."} & set(argv[1:])


def test_a_program_this_machine_lacks_is_refused_as_such() -> None:
    refused = CommandRules(programs={}).check(["ls"])
    assert refused == Refusal("this machine has no 'ls'")


def test_only_programs_nobody_else_could_have_put_there_count(tmp_path: Path) -> None:
    for name, mode in (("ls", 0o755), ("cat", 0o777), ("wc", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    found = installed_programs([str(tmp_path)])
    owned_by_root = (tmp_path / "ls").stat().st_uid == 0
    assert found == ({"ls": f"{tmp_path}/ls"} if owned_by_root else {})


def test_a_link_out_of_a_readable_folder_is_followed_before_it_is_judged(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir()
    (tmp_path / "open" / "way").symlink_to(tmp_path / "closed")
    rules = CommandRules(programs={"ls": "/bin/ls"}, readable=(f"{tmp_path}/open",))
    assert isinstance(rules.check(["ls", f"{tmp_path}/open"]), Command)
    assert isinstance(rules.check(["ls", f"{tmp_path}/open/way"]), Refusal)


def test_a_command_is_shown_on_one_line_whatever_it_holds() -> None:
    assert str(Command("/usr/bin/echo", ("a", "b\nc"))) == "echo a 'b\\nc'"


@given(
    values=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20)), max_size=5),
    cut=st.integers(1, 7),
)
def test_frames_survive_any_cutting_of_the_stream(values: list[dict[str, str]], cut: int) -> None:
    stream = b"".join(map(frame_from, values))
    reader = FrameReader()
    parts = (stream[at : at + cut] for at in range(0, len(stream), cut))
    assert [frame for part in parts for frame in reader.feed(part)] == values


# ── the filter, interpreted ──────────────────────────────────────────────────────────────────────

ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
X86_64, AARCH64 = 0xC000003E, 0xC00000B7


def run_filter(
    program: bytes, *, number: int, arch: int, arguments: tuple[int, int] = (0, 0)
) -> int:
    """Interpret the few BPF instructions that are used."""
    data = struct.pack("=IIQQQ", number, arch, 0, *arguments)
    instructions = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        code, jump_true, jump_false, k = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x15:
                at += jump_true if accumulator == k else jump_false
            case 0x35:
                at += jump_true if accumulator >= k else jump_false
            case 0x06:
                return int(k)
            case _:
                pytest.fail(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    ("machine", "arch", "denied", "allowed"),
    [
        (
            "x86_64",
            X86_64,
            {41, 53, 56, 57, 58, 62, 90, 94, 101, 112, 141, 188, 203, 268, 280, 425, 435, 452},
            {0, 1, 59, 72, 231, 257},
        ),
        (
            "aarch64",
            AARCH64,
            {5, 53, 54, 88, 122, 140, 198, 199, 220, 129, 117, 157, 425, 435, 452},
            {25, 63, 64, 221, 94, 56},
        ),
    ],
)
def test_the_filter_refuses_sockets_children_and_signals_and_lets_the_rest_pass(
    machine: str, arch: int, denied: set[int], allowed: set[int]
) -> None:
    program = seccomp_program(machine)
    assert program is not None
    for number in denied:
        assert run_filter(program, number=number, arch=arch) & 0xFFFF0000 == REFUSE, number
    for number in allowed:
        assert run_filter(program, number=number, arch=arch) == ALLOW, number


def test_the_filter_lets_a_program_read_its_own_limits_and_nobody_else_s() -> None:
    program = seccomp_program("x86_64")
    assert program is not None
    own = run_filter(program, number=302, arch=X86_64, arguments=(0, 0))
    others = run_filter(program, number=302, arch=X86_64, arguments=(4711, 0))
    assert (own, others & 0xFFFF0000) == (ALLOW, REFUSE)


@pytest.mark.parametrize(
    ("arch", "machine", "fcntl"), [(X86_64, "x86_64", 72), (AARCH64, "aarch64", 25)]
)
def test_the_filter_lets_no_descriptor_send_signals(arch: int, machine: str, fcntl: int) -> None:
    program = seccomp_program(machine)
    assert program is not None
    answers = {
        command: run_filter(program, number=fcntl, arch=arch, arguments=(3, command))
        for command in range(16)
    }
    assert {c for c, answer in answers.items() if answer & 0xFFFF0000 == REFUSE} == {8, 10, 15}


def test_the_filter_kills_what_speaks_another_machine_s_language() -> None:
    program = seccomp_program("x86_64")
    assert program is not None
    assert run_filter(program, number=0, arch=0x40000003) == KILL
    assert run_filter(program, number=0x40000000 | 41, arch=X86_64) & 0xFFFF0000 == REFUSE


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp_program("vax") is None
