"""`KeyIndex`: the keys of a script that names them by their number."""

from __future__ import annotations


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
