"""Search by words: BM25 over the documents in `corpus/`, read once.

    score(document) = sum over query words of idf(w) * f * (k + 1) / (f + k * (1 - b + b * |d|/avg))

with f the times w occurs in the document, k = 1.2, b = 0.75 (Robertson and Zaragoza, "The
Probabilistic Relevance Framework: BM25 and Beyond", 2009). Equal scores keep the order of names, so
one query has one answer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+")
_K: Final = 1.2
_B: Final = 0.75
_READ_CHARACTERS: Final = 4_000
"""How much of a query counts; nobody asks more than this."""
_STOP_WORDS: Final = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how",
        "in", "is", "it", "its", "me", "of", "on", "or", "tell", "that", "the", "their", "this",
        "to", "was", "what", "when", "where", "which", "who", "why", "with", "you",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document that speaks of the query."""

    document: Document
    score: float


def words_of(text: str) -> list[str]:
    """Return the words that count, in lower case, a plural `s` cut off."""
    words = (word for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS)
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]  # noqa: PLR2004


def shipped_documents() -> tuple[Document, ...]:
    """Return the documents of `corpus/`, by name."""
    folder = files("workers.knowledge").joinpath("corpus")
    sources = sorted(
        (each.name.removesuffix(".md"), each.read_text("utf-8"))
        for each in folder.iterdir()
        if each.name.endswith(".md")
    )
    return tuple(document_from(name, source) for name, source in sources)


def document_from(name: str, source: str) -> Document:
    """Return the document of a Markdown text whose first line is its title."""
    title, _, text = source.partition("\n")
    return Document(name=name, title=title.lstrip("# ").strip(), text=text.strip())


class Index:
    """An immutable index over documents."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = tuple(documents)
        self._counts = [Counter(words_of(f"{each.title} {each.text}")) for each in documents]
        self._lengths = [counts.total() for counts in self._counts]
        self._average = sum(self._lengths) / max(len(self._lengths), 1)
        self._holders = Counter(word for counts in self._counts for word in counts)

    def search(self, query: str, *, limit: int = 3) -> list[Hit]:
        """Return the documents that share words with the query, best first."""
        wanted = set(words_of(query[:_READ_CHARACTERS]))
        hits = [
            Hit(document=document, score=round(score, 4))
            for at, document in enumerate(self._documents)
            if (score := sum(self._weight(word, at) for word in wanted)) > 0
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    def _weight(self, word: str, at: int) -> float:
        found = self._counts[at][word]
        if not found:
            return 0.0
        holders = self._holders[word]
        rarity = math.log(1 + (len(self._documents) - holders + 0.5) / (holders + 0.5))
        length = 1 - _B + _B * self._lengths[at] / self._average
        return rarity * found * (_K + 1) / (found + _K * length)
