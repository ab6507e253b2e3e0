from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.knowledge.search import Document, Index, document_from, shipped_documents, words_of

LIBRARY = Index(shipped_documents())


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("What is a priority lane?", "lanes"),
        ("How does crash recovery work when a worker dies?", "leases"),
        ("When does a message go to the dead letters?", "retries"),
        ("which arms are there and what does the judge do", "arms"),
        ("how are commands isolated in the sandbox", "sandbox"),
        ("scaling fleets with KEDA", "scaling"),
    ],
)
def test_a_question_finds_the_document_that_answers_it(query: str, name: str) -> None:
    assert LIBRARY.search(query)[0].document.name == name


def test_nothing_is_found_where_no_word_is_shared() -> None:
    assert LIBRARY.search("bananas zebra") == []
    assert LIBRARY.search("the of and") == []
    assert Index(()).search("lane") == []


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    documents = [
        Document(name=str(n), title="", text="common words here" + (" rare" if n == 2 else ""))
        for n in range(4)
    ]
    assert Index(documents).search("common rare", limit=1)[0].document.name == "2"


@given(query=st.text(max_size=300))
def test_any_query_has_one_answer_best_first(query: str) -> None:
    hits = LIBRARY.search(query)
    assert hits == LIBRARY.search(query)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) <= 3


def test_the_first_line_of_a_document_is_its_title() -> None:
    document = document_from("x", "# A title\n\nText.\n")
    assert (document.title, document.text) == ("A title", "Text.")
    assert all(each.title and each.text for each in shipped_documents())


def test_words_are_compared_without_case_plural_or_filler() -> None:
    assert words_of("The Lanes of a queue, leases!") == ["lane", "queue", "lease"]
