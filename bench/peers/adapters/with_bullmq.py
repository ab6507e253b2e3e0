"""BullMQ: what speaks the protocol is `bullmq.mjs` beside this; node takes this process over."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def main() -> None:
    """Become node."""
    node = shutil.which("node")
    if node is None:
        sys.exit("there is no node")
    os.execv(node, [node, str(Path(__file__).with_name("bullmq.mjs")), sys.argv[1]])  # noqa: S606


if __name__ == "__main__":
    main()
