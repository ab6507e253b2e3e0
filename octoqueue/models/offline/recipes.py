"""Programs the offline model can write, each with a check that raises when it is wrong.

A recipe is found by words: it fits when every one of its groups has a word in the goal, and the
first that fits is taken. For any other goal the model writes a small program that lays the goal out
as steps and says that no recipe fits; it runs, and does not pretend to be more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from octoqueue.models.replies import Code


@dataclass(frozen=True, slots=True)
class Recipe:
    """One program."""

    words: tuple[str, ...]
    """Regular expressions, all of which must be found."""
    code: str
    check: str
    remark: str


RECIPES: Final = (
    Recipe(
        (r"\bsort",),
        '''\
from collections.abc import Callable, Iterable
from typing import Any


def sort_list(items: Iterable[Any], *, key: Callable[[Any], Any] | None = None) -> list[Any]:
    """Return the items in ascending order; equal ones keep theirs. Merge sort, O(n log n)."""
    ordered = list(items)
    if len(ordered) < 2:
        return ordered
    middle = len(ordered) // 2
    left, right = sort_list(ordered[:middle], key=key), sort_list(ordered[middle:], key=key)
    rank = key or (lambda item: item)
    merged: list[Any] = []
    at_left = at_right = 0
    while at_left < len(left) and at_right < len(right):
        if rank(right[at_right]) < rank(left[at_left]):
            merged.append(right[at_right])
            at_right += 1
        else:
            merged.append(left[at_left])
            at_left += 1
    return merged + left[at_left:] + right[at_right:]
''',
        """\
assert sort_list([]) == [] and sort_list([1]) == [1]
assert sort_list([3, 1, 2, 3, -5]) == [-5, 1, 2, 3, 3]
assert sort_list(["bb", "a", "cc"], key=len) == ["a", "bb", "cc"]
assert sort_list(range(200, 0, -1)) == list(range(1, 201))
""",
        "A stable merge sort. In everyday code use the built-in sorted().",
    ),
    Recipe(
        (r"\b(reverse|revers)", r"\b(string|text|word|list)"),
        '''\
def reverse(text: str) -> str:
    """Return the characters of `text` from last to first."""
    return text[::-1]
''',
        """\
assert reverse("") == "" and reverse("abc") == "cba"
assert reverse(reverse("octopus")) == "octopus"
""",
        "A slice with a negative step; combining characters are not kept together.",
    ),
    Recipe(
        (r"\bfibonacci",),
        '''\
def fibonacci(n: int) -> int:
    """Return the n-th Fibonacci number, counted from fibonacci(0) == 0."""
    if n < 0:
        raise ValueError("n must not be negative")
    current, following = 0, 1
    for _ in range(n):
        current, following = following, current + following
    return current
''',
        """\
assert [fibonacci(n) for n in range(10)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
assert fibonacci(90) == 2880067194370816120
""",
        "Iterative, so that large n neither recurses nor repeats work.",
    ),
    Recipe(
        (r"\bfactorial",),
        '''\
def factorial(n: int) -> int:
    """Return 1 * 2 * … * n."""
    if n < 0:
        raise ValueError("n must not be negative")
    product = 1
    for factor in range(2, n + 1):
        product *= factor
    return product
''',
        """\
assert [factorial(n) for n in range(6)] == [1, 1, 2, 6, 24, 120]
assert factorial(20) == 2432902008176640000
""",
        "math.factorial does the same, faster.",
    ),
    Recipe(
        (r"\bprime",),
        '''\
def primes_below(limit: int) -> list[int]:
    """Return all primes smaller than `limit`, by the sieve of Eratosthenes."""
    is_prime = bytearray([1]) * max(limit, 0)
    is_prime[:2] = bytes(min(2, len(is_prime)))
    for n in range(2, int(max(limit, 0) ** 0.5) + 1):
        if is_prime[n]:
            is_prime[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return [n for n, prime in enumerate(is_prime) if prime]
''',
        """\
assert primes_below(0) == primes_below(2) == []
assert primes_below(30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
assert len(primes_below(10_000)) == 1229
""",
        "One byte a number; fine up to some hundred million.",
    ),
    Recipe(
        (r"\bpalindrome",),
        '''\
def is_palindrome(text: str) -> bool:
    """Return whether `text` reads the same both ways, letters and digits only, case aside."""
    kept = [character.casefold() for character in text if character.isalnum()]
    return kept == kept[::-1]
''',
        """\
assert is_palindrome("A man, a plan, a canal: Panama") and is_palindrome("")
assert not is_palindrome("octopus")
""",
        "Spaces, punctuation and case are ignored.",
    ),
    Recipe(
        (r"\b(binary search|bisect)",),
        '''\
from collections.abc import Sequence


def find_sorted(items: Sequence[int], wanted: int) -> int | None:
    """Return an index of `wanted` in ascending `items`, None when it is not there."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(items) and items[low] == wanted else None
''',
        """\
numbers = list(range(0, 100, 3))
assert all(find_sorted(numbers, n) == at for at, n in enumerate(numbers))
assert find_sorted(numbers, 1) is None and find_sorted([], 1) is None
""",
        "Half of what is left goes with each comparison; the standard library has bisect.",
    ),
    Recipe(
        (r"\b(count|frequen)", r"\bword"),
        '''\
import re
from collections import Counter


def count_words(text: str) -> Counter[str]:
    """Return how often each word occurs, case aside."""
    return Counter(re.findall(r"[\\w']+", text.casefold()))
''',
        """\
counted = count_words("The cat and the hat. And the end!")
assert counted["the"] == 3 and counted["and"] == 2 and counted["dog"] == 0
""",
        "Words are runs of letters, digits and apostrophes.",
    ),
    Recipe(
        (r"\b(gcd|greatest common|common divisor)",),
        '''\
def greatest_common_divisor(a: int, b: int) -> int:
    """Return the largest number that divides both, by Euclid's algorithm."""
    while b:
        a, b = b, a % b
    return abs(a)
''',
        """\
assert greatest_common_divisor(48, 36) == 12 and greatest_common_divisor(17, 5) == 1
assert greatest_common_divisor(0, 9) == 9 and greatest_common_divisor(-8, 12) == 4
""",
        "math.gcd does the same.",
    ),
    Recipe(
        (r"\bfizz",),
        '''\
def fizz_buzz(last: int) -> list[str]:
    """Return 1 to `last`, multiples of 3 and 5 replaced."""
    words = ("", "Fizz", "Buzz", "FizzBuzz")
    return [words[(n % 3 == 0) + 2 * (n % 5 == 0)] or str(n) for n in range(1, last + 1)]
''',
        """\
assert fizz_buzz(5) == ["1", "2", "Fizz", "4", "Buzz"] and fizz_buzz(15)[-1] == "FizzBuzz"
""",
        "The two conditions are the two bits of an index.",
    ),
    Recipe(
        (r"\b(largest|maximum|max|smallest|minimum|min|average|mean|median|statistic)\b",),
        '''\
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    smallest: float
    largest: float
    mean: float
    median: float


def summarize(numbers: Sequence[float]) -> Summary:
    """Return the figures of a list that is not empty."""
    if not numbers:
        raise ValueError("there are no numbers")
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(ordered[0], ordered[-1], sum(ordered) / len(ordered), median)
''',
        """\
assert summarize([3, 1, 2]) == Summary(1, 3, 2.0, 2)
assert summarize([4, 1, 2, 3]).median == 2.5
""",
        "The standard library has statistics for more than this.",
    ),
    Recipe(
        (r"\bvalidat|\bcheck", r"\be-?mail"),
        '''\
import re

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9-]+\\.)+[A-Za-z]{2,63}")


def is_email(address: str) -> bool:
    """Return whether `address` has the form of one; only a message to it can tell more."""
    local, _, domain = address.rpartition("@")
    dots = local.startswith(".") or local.endswith(".") or ".." in address
    short = len(local) <= 64 and len(domain) <= 253
    return bool(_ADDRESS.fullmatch(address)) and short and not dots
''',
        """\
assert is_email("ada@example.org") and is_email("a.b+c@mail.example.co.uk")
assert not any(map(is_email, ("", "ada", "ada@", "@example.org", "a b@example.org", "a..b@c.org")))
""",
        "Checks the common form, not all that RFC 5322 allows.",
    ),
)


def programmed(goal: str) -> Code:
    """Return a program for the goal, with its check."""
    for recipe in RECIPES:
        if all(re.search(word, goal, re.IGNORECASE) for word in recipe.words):
            return Code(code=recipe.code, check=recipe.check, remark=recipe.remark)
    return _outline(goal)


def _outline(goal: str) -> Code:
    steps = [part.strip(" .") for part in re.split(r"[.;\n]|,? and ", goal) if part.strip(" .")]
    listed = "".join(f"    {step!r},\n" for step in steps)
    code = (
        f"GOAL = {goal!r}\n"
        f"STEPS = (\n{listed})\n\n\n"
        "def outline() -> str:\n"
        '    """Return the steps of the goal, numbered."""\n'
        '    return "\\n".join(f"{n}. {step}" for n, step in enumerate(STEPS, start=1))\n'
    )
    return Code(
        code=code,
        check='assert outline().count("\\n") == max(len(STEPS) - 1, 0)\n',
        remark=(
            "The offline model has no recipe for this goal, so this only lays it out as steps; "
            "configure a model to have it written."
        ),
    )
