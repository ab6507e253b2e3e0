from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.screening.masking import masked

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key: AKIAIOSFODNN7EXAMPLE.", "key: [aws_access_key masked]."),
        ("card 4111 1111 1111 1111 paid", "card [payment_card masked] paid"),
        (f"a\n{KEY}\nb", "a\n[private_key masked]\nb"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ", "[private_key masked]"),
        ("sk-abcdefghijklmnopqrstuvwx", "[api_key masked]"),
        ("password = 'hunter2'", "password = 'hunter2'"),
        ("mail ada@example.org", "mail ada@example.org"),
        ("It was 4111111111111111.", "It was [payment_card masked]."),
        ("amex 378282246310005", "amex [payment_card masked]"),
        ("python-build.20260509101115.210.log", "python-build.20260509101115.210.log"),
        ("seen-a4111111111111111", "seen-a4111111111111111"),
        ("DE89 3704 0044 0532 0130 00", "[iban masked]"),
        ("de89370400440532013000", "de89370400440532013000"),
    ],
)
def test_what_is_certainly_a_secret_is_masked_and_the_rest_is_left(text: str, told: str) -> None:
    value, findings = masked({"stdout": [text], "code": 0})
    assert value == {"stdout": [told], "code": 0}
    assert findings


@given(value=json)
def test_without_a_secret_nothing_is_copied_or_changed(value: object) -> None:
    assert masked(value)[0] is value


@given(value=json)
def test_what_is_masked_holds_no_secret_any_more(value: object) -> None:
    once, _ = masked([value, f"{KEY} AKIAIOSFODNN7EXAMPLE"])
    twice, findings = masked(once)
    assert twice is once
    assert not {"private_key", "aws_access_key"} & {finding.rule for finding in findings}


def test_a_secret_behind_a_hundred_other_findings_is_masked_too() -> None:
    value, findings = masked("a@example.org " * 150 + "AKIAIOSFODNN7EXAMPLE")
    assert value.endswith("[aws_access_key masked]")
    assert len(findings) == 151
