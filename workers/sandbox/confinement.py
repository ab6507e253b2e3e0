"""What the kernel is told about a child before it becomes a foreign program. Linux, by ctypes.

    no_new_privs    set-user-id programs give nothing
    landlock        reads only below the given roots, writes only below its own folder
    seccomp         no sockets, no children, no signals to others, no kernel attack surface, and
                    no change of modes, owners and times, which landlock does not watch

Each part is asked of the kernel at start (`available_parts`) and used where it exists; the launcher
reports what does not. The module is imported by the launcher, which runs isolated and without
site-packages, so it imports the standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2

# ── seccomp ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Machine:
    """One instruction set, as seccomp sees it."""

    audit_arch: int
    syscalls: Mapping[str, int]


_NO_CHILDREN: Final = ("clone", "fork", "vfork")
_DENIED: Final = (
    # the network, and sockets of servers on this machine
    "socket", "socketpair", "io_uring_setup",
    # other processes of the same user
    "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "pidfd_open", "pidfd_send_signal", "pidfd_getfd",
    "ptrace", "process_vm_readv", "process_vm_writev", "setsid", "setpgid",
    "setpriority", "ioprio_set", "sched_setaffinity", "sched_setparam", "sched_setscheduler",
    "sched_setattr",
    # what landlock does not watch: modes, owners, times and attributes of the user's other files
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
    "utime", "utimes", "futimesat", "utimensat",
    "setxattr", "lsetxattr", "fsetxattr", "setxattrat",
    "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
    # what outlives the process, or escapes its limits
    "shmget", "msgget", "semget", "mq_open", "memfd_create", "add_key", "request_key", "keyctl",
    # namespaces, mounts and the parts of the kernel nobody needs for this
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "bpf", "perf_event_open",
    "userfaultfd",
)  # fmt: skip
_NEWER: Final = {  # one number on every machine
    "clone3": 435, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_send_signal": 424,
    "pidfd_getfd": 438, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
_MACHINES: Final = {
    "x86_64": _Machine(
        0xC000_003E,
        _NEWER | {
            "clone": 56, "fork": 57, "vfork": 58, "socket": 41, "socketpair": 53, "kill": 62,
            "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
            "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "setsid": 112,
            "setpgid": 109, "shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240,
            "memfd_create": 319, "add_key": 248, "request_key": 249, "keyctl": 250,
            "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155,
            "chroot": 161, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
            "setpriority": 141, "ioprio_set": 251, "sched_setaffinity": 203, "sched_setparam": 142,
            "sched_setscheduler": 144, "sched_setattr": 314, "chmod": 90, "fchmod": 91,
            "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "utime": 132,
            "utimes": 235, "futimesat": 261, "utimensat": 280, "setxattr": 188, "lsetxattr": 189,
            "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
            "prlimit64": 302, "fcntl": 72,
        },
    ),
    "aarch64": _Machine(
        0xC000_00B7,
        _NEWER | {
            "clone": 220, "socket": 198, "socketpair": 199, "kill": 129, "tkill": 130,
            "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271, "setsid": 157, "setpgid": 154,
            "shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180, "memfd_create": 279,
            "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268,
            "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "bpf": 280,
            "perf_event_open": 241, "userfaultfd": 282, "setpriority": 140, "ioprio_set": 30,
            "sched_setaffinity": 122, "sched_setparam": 118, "sched_setscheduler": 119,
            "sched_setattr": 274, "fchmod": 52, "fchmodat": 53, "fchown": 55, "fchownat": 54,
            "utimensat": 88, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14,
            "lremovexattr": 15, "fremovexattr": 16, "prlimit64": 261, "fcntl": 25,
        },
    ),
}  # fmt: skip

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF_0000
_KILL: Final = 0x8000_0000
_ERRNO: Final = 0x0005_0000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_FIRST_ARGUMENT, _OFFSET_SECOND_ARGUMENT = 0, 4, 16, 24
_SIGNALLING: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_X32: Final = 0x4000_0000


def seccomp_program(machine: str) -> bytes | None:
    """Return the filter for `machine` as BPF instructions, None when it is unknown here."""
    known = _MACHINES.get(machine)
    if known is None:
        return None
    numbers = known.syscalls
    program = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_IF_EQUAL, 1, 0, known.audit_arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
    ]

    def refuse(syscall: str, error: int) -> None:
        if syscall in numbers:
            program.append((_IF_EQUAL, 0, 1, numbers[syscall]))
            program.append((_RETURN, 0, 0, _ERRNO | error))

    program.append((_IF_AT_LEAST, 0, 1, _X32))
    program.append((_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    refuse("clone3", errno.ENOSYS)  # libc then tries clone
    for syscall in _NO_CHILDREN:
        refuse(syscall, errno.EAGAIN)
    for syscall in _DENIED:
        refuse(syscall, errno.EPERM)
    # A pipe can be told to send any signal to any process of the same user.
    program += [
        (_IF_EQUAL, 0, 2 + 2 * len(_SIGNALLING), numbers["fcntl"]),
        (_LOAD, 0, 0, _OFFSET_SECOND_ARGUMENT),
    ]
    for command in _SIGNALLING:
        program += [(_IF_EQUAL, 0, 1, command), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    # Reading one's own limits is what libc does at start; those of others are none of its business.
    program += [
        (_IF_EQUAL, 0, 3, numbers["prlimit64"]),
        (_LOAD, 0, 0, _OFFSET_FIRST_ARGUMENT),
        (_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


# ── landlock ─────────────────────────────────────────────────────────────────────────────────────

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ: Final = 0b1101  # execute, read a file, read a directory
_RIGHTS_BY_VERSION: Final = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
_FILE_RIGHTS: Final = 0b101 | 1 << 1 | 1 << 14 | 1 << 15  # what a rule on a plain file may hold


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _called(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


@cache
def landlock_version() -> int:
    """Return the version of landlock this kernel speaks, 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc().syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def _restrict_files(readable: Iterable[str], writable: str) -> None:
    version = min(landlock_version(), len(_RIGHTS_BY_VERSION) - 1)
    rights = _RIGHTS_BY_VERSION[version]
    libc = _libc()
    handled = struct.pack("=Q", rights)
    ruleset = _called(
        libc.syscall(_LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0), "landlock"
    )
    try:
        for path in readable:
            _allow_below(ruleset, path, _READ & rights)
        _allow_below(ruleset, writable, rights)
        _called(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _allow_below(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, or not for us, needs no rule
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - no pathlib in the launcher
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, opened)
        _called(_libc().syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock {path}")
    finally:
        os.close(opened)


# ── both together ────────────────────────────────────────────────────────────────────────────────


def available_parts() -> tuple[str, ...]:
    """Return which parts this kernel and machine have."""
    if not sys.platform.startswith("linux"):
        return ()
    parts = ["no_new_privs"]
    if landlock_version() > 0:
        parts.append("landlock")
    has_filters = _libc().prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    if has_filters and seccomp_program(platform.machine()) is not None:
        parts.append("seccomp")
    return tuple(parts)


def confine(parts: Iterable[str], *, readable: Iterable[str], writable: str) -> None:
    """Confine this process for ever; call it last before exec.

    Raises:
        OSError: the kernel refused a part; the process must not go on.
    """
    wanted = frozenset(parts)
    libc = _libc()
    if "no_new_privs" in wanted:
        _called(
            libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))), "no_new_privs"
        )
    if "landlock" in wanted:
        _restrict_files(readable, writable)
    if "seccomp" in wanted:
        program = seccomp_program(platform.machine()) or b""
        wrapped = _FilterProgram(len(program) // 8, program)
        _called(
            libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(wrapped), 0, 0),
            "seccomp",
        )


def die_with_parent(signal_number: int) -> None:
    """Have this process killed when the one that forked it ends. Linux only."""
    if sys.platform.startswith("linux"):
        _called(_libc().prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "pdeathsig")
