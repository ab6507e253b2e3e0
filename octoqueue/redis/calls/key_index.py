"""`KeyIndex`: the keys of a script that names them by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyIndex:
    """Keys in the order first named; a script refers to them by their number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """Return the number of a key, from 1."""
        number = self._numbers.get(name)
        if number is None:
            self.names.append(name)
            number = self._numbers[name] = len(self.names)
        return number

    def together(self, names: Sequence[str]) -> int:
        """Return the number of the first of keys that stand side by side, and nowhere else."""
        known = self._numbers.get(names[0])
        if known is not None:
            return known
        return min([self(name) for name in names])
