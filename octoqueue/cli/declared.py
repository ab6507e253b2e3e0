"""What some modules declare, found out in a process of its own.

`octoqueue up MODULE` has to know it before it starts anything; the code of users does not run in
the process that looks after the others.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from octoqueue.broker.default import default_broker
from octoqueue.cli.modules import import_modules
from octoqueue.fleet.plan import FleetKind, Program
from octoqueue.workflows.definitions import DEFINITIONS

_PATIENCE_SECONDS: Final = 60
_ONE: Final[tuple[FleetKind, ...]] = ("worker",)


def declared_kinds(modules: Sequence[str], program: Program) -> tuple[FleetKind, ...]:
    """Return the kinds of fleets that serve what modules declare.

    Workers where nothing can be found out: they say what is wrong with the modules.
    """
    *call, _ = program.call
    try:
        answer = subprocess.run(  # noqa: S603 - it is this program
            [*call, __name__, *modules],
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_SECONDS,
            check=True,
            text=True,
        )
    except (OSError, subprocess.SubprocessError):
        return _ONE
    last = answer.stdout.splitlines()[-1:]  # the modules may have printed something before
    words = last[0].split() if last else []
    kinds: tuple[FleetKind, ...] = ("worker", "orchestrator")
    return tuple(kind for kind in kinds if kind in words) or _ONE


def _main() -> None:
    import_modules(sys.argv[1:])
    words = ["worker"] * bool(default_broker().actors)
    words += ["orchestrator"] * bool(DEFINITIONS.names())
    sys.stdout.write(f"\n{' '.join(words)}\n")


if __name__ == "__main__":
    _main()
