"""Programs as data, and what must become of them: the model that engines are judged by. Pure.

A program is JSON: a list that begins with what to do. `tests/workflow_program.py` holds the
workflow function that carries it out, whatever engine runs it; `ended` says how that must end. Each
thing done turns one number, the seed, into the next one, so the last number tells all that was
done, and in which order. Where order is left to chance, in a gather, the branches begin with the
same seed and their numbers are added up in the order of the program.

What chance decides is not in the number: which branch of a gather failed first is never told. A
wait for a signal is either sent one, or waits for one that nobody sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Node = list[Any]
Status = str
MODULUS = 1_000_003
A_DAY_MS = 86_400_000
SILENT = "silent"
"""The name of the signal that nobody sends."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one execution must end, unless somebody cancels it."""

    status: Status
    """`completed`, `failed` or `continued`."""
    value: int | None = None
    undone: tuple[int, ...] = ()
    """The numbers of its compensations, in the order in which they run."""
    goes_on: Node | None = None
    """What the next execution does, with `continued`; it begins with `value`."""


class Fails(Exception):
    """The program fails here."""


class GoesOn(Exception):
    """The program ends here and goes on as a new execution."""

    def __init__(self, node: Node, seed: int) -> None:
        super().__init__(node, seed)
        self.node = node
        self.seed = seed


def mixed(seed: int, number: int) -> int:
    """Return the next number; what every actor and function of a program returns."""
    return (seed * 31 + number + 1) % MODULUS


def number_sent(name: str) -> int:
    """Return the value of the signal of that name."""
    return sum(name.encode()) % 97


def ended(node: Node, seed: int) -> Ended:
    """Return how an execution of this program must end."""
    registered: list[int] = []
    try:
        return Ended("completed", _value(node, seed, registered))
    except Fails:
        return Ended("failed", undone=tuple(reversed(registered)))
    except GoesOn as next_one:
        return Ended("continued", next_one.seed, goes_on=next_one.node)


def ended_at_last(node: Node, seed: int) -> Ended:
    """Return how the last execution must end that continues another."""
    end = ended(node, seed)
    while end.goes_on is not None and end.value is not None:
        end = ended(end.goes_on, end.value)
    return end


def _value(node: Node, seed: int, registered: list[int]) -> int:
    match node:
        case ["seq", nodes]:
            for each in nodes:
                seed = _value(each, seed, registered)
            return seed
        case ["gather", branches]:
            return _sum([_value(each, seed, registered) for each in branches])
        case ["try", body, otherwise]:
            try:
                return _value(body, seed, registered)
            except Fails:
                return _value(otherwise, seed, registered)
        case ["again", program]:
            raise GoesOn(program, seed)
        case ["undo", number]:
            registered.append(number)
            return seed
    return _value_of_one(node, seed)


def _value_of_one(node: Node, seed: int) -> int:
    match node:
        case ["call" | "flaky" | "run", number]:
            return mixed(seed, number)
        case ["child", program]:
            return mixed(seed, _value_at_last(program, seed))
        case ["map", numbers, _]:
            return _sum(mixed(seed, number) for number in numbers)
        case ["signal", name, _]:
            return mixed(seed, number_sent(name))
        case ["sleep", _] | ["emit"] | ["facts"]:
            return seed
        case ["patched", _]:
            return mixed(seed, 1)
        case ["fail", _] | ["run_fail", _] | ["silence", _] | ["throw"]:
            raise Fails
        case _:
            raise AssertionError(node)


def _value_at_last(program: Node, seed: int) -> int:
    value = ended_at_last(program, seed).value
    if value is None:
        raise Fails
    return value


def _sum(numbers: Iterator[int] | list[int]) -> int:
    total = 0
    for number in numbers:
        total = mixed(total, number)
    return total


def signals_in(node: Node) -> Iterator[str]:
    """Yield the names of the signals an execution may wait for, its children's excepted."""
    if node[0] == "signal":
        yield node[1]
    if node[0] in {"seq", "gather"}:
        for each in node[1]:
            yield from signals_in(each)
    if node[0] in {"try", "again"}:
        for each in node[1:]:
            yield from signals_in(each)


def words(node: Node) -> Iterator[str]:
    """Yield what a program does, one word a node."""
    yield node[0]
    for part in node[1:]:
        if isinstance(part, list):
            nodes = part if part and isinstance(part[0], list) else [part]
            for each in nodes:
                if each and isinstance(each[0], str):
                    yield from words(each)


LEAVES = (
    *("call", "call", "call", "run", "sleep", "signal", "signal"),
    *("map", "flaky", "facts", "emit", "patched", "undo", "failing"),
)


# ── growing programs ─────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Grower:
    """Makes programs by choosing; 0 is always the simplest choice."""

    choose: Callable[[int], int]
    """Returns a number from 0 to below the given one."""
    longest_ms: int = A_DAY_MS
    """The longest sleep."""
    signals: int = 0

    def program(self, *, depth: int = 3) -> Node:
        """Return a whole program, its signals named apart."""
        nodes = [self._node(depth, inside=False) for _ in range(1 + self.choose(6))]
        if self.choose(8) == 7:
            nodes.append(["again", self.program(depth=depth - 1)])
        elif self.choose(6) == 5:
            nodes.append(["throw"])
        return ["seq", nodes]

    def _node(self, depth: int, *, inside: bool) -> Node:
        match self.choose(12) - 7 if depth > 0 else -1:
            case -7 | -6 | -5 | -4 | -3 | -2 | -1:
                return self._leaf(inside=inside)
            case 0:
                return ["seq", self._nodes(depth, 1, inside=inside)]
            case 1:
                return ["gather", self._nodes(depth, 2, inside=True)]
            case 2:
                body = self._node(depth - 1, inside=inside)
                return ["try", body, self._node(depth - 1, inside=inside)]
            case 3:
                return ["child", self.program(depth=depth - 2)]
            case _:
                failing = ["seq", [*self._nodes(depth, 0, inside=inside), self._failing()]]
                return ["try", failing, self._node(depth - 1, inside=inside)]

    def _nodes(self, depth: int, least: int, *, inside: bool) -> list[Node]:
        return [self._node(depth - 1, inside=inside) for _ in range(least + self.choose(3))]

    def _leaf(self, *, inside: bool) -> Node:
        number = self.choose(10)
        word = LEAVES[self.choose(len(LEAVES))]
        if word == "failing":
            return self._failing() if number == 9 else ["call", number]
        if word == "undo" and inside:
            return ["call", number]
        if word == "signal":
            self.signals += 1
            return ["signal", f"s{self.signals}", None if number < 5 else A_DAY_MS]
        return self._plain(word, number)

    def _plain(self, word: str, number: int) -> Node:
        if word == "sleep":
            return ["sleep", (0, 1, 40, 3_000, self.longest_ms)[number % 5]]
        if word == "map":
            return ["map", list(range(self.choose(5))), 1 + self.choose(3)]
        if word == "patched":
            return ["patched", f"p{number}"]
        return [word] if word in ("emit", "facts") else [word, number]

    def _failing(self) -> Node:
        number = self.choose(4)
        return (["fail", 1], ["run_fail", 1], ["silence", 50], ["throw"])[number]
