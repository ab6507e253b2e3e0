from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.telemetry.masking import mask_secret, mask_urls


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:p@h:6379/0", "redis://u:****@h:6379/0"),
        ("redis://:p@h", "redis://:****@h"),
        ("redis://u:p@ss/w?rd@h", "redis://u:****@h"),
        ("redis://u@h", "redis://u@h"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("postgresql://postgres@/oq?host=/run", "postgresql://postgres@/oq?host=/run"),
        ("postgresql://h/d?password=p&sslmode=x", "postgresql://h/d?password=****&sslmode=x"),
        (
            "lost redis://u:p@h, retrying redis://v:q@h",
            "lost redis://u:****@h, retrying redis://v:****@h",
        ),
        ('{"url": "redis://u:p@h"}', '{"url": "redis://u:****@h"}'),
        ("no secret: nobody@example", "no secret: nobody@example"),
        ("", ""),
    ],
    ids=repr,
)
def test_a_password_in_a_url_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert mask_urls(text) == shown


def test_a_secret_that_is_no_url_is_hidden_whole() -> None:
    assert mask_secret("hunter2") == "****"


@given(st.text())
def test_a_password_is_hidden_whatever_is_in_it(password: str) -> None:
    assert mask_secret(f"redis://u:{password}@h") == "redis://u:****@h"


@given(st.text())
def test_masking_what_is_masked_changes_nothing(text: str) -> None:
    once = mask_urls(f"redis://u:{text}@h")
    assert mask_urls(once) == once
