from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.retry import RetryPolicy

spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
policies = st.tuples(spans, spans).map(
    lambda pair: RetryPolicy(min_backoff=min(pair), max_backoff=max(pair))
)
attempts = st.integers(0, 100_000)
jitters = st.floats(0, 1)


def milliseconds(span: timedelta) -> float:
    return span / timedelta(milliseconds=1)


@given(policies, attempts, jitters)
def test_a_wait_is_within_its_bounds(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    wait = policy.backoff_ms(attempt, jitter=jitter)
    assert milliseconds(policy.min_backoff) / 2 - 1 <= wait <= milliseconds(policy.max_backoff) + 1


@given(policies, attempts, jitters)
def test_jitter_spreads_a_wait_over_the_upper_half(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    least, most = policy.backoff_ms(attempt, jitter=0), policy.backoff_ms(attempt, jitter=1)
    assert least <= policy.backoff_ms(attempt, jitter=jitter) <= most
    assert abs(2 * least - most) <= 1


@given(policies, attempts, jitters)
def test_a_later_attempt_never_waits_less(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    sooner = policy.backoff_ms(attempt, jitter=jitter)
    assert sooner <= policy.backoff_ms(attempt + 1, jitter=jitter)


@given(policies)
def test_waits_double_until_they_meet_the_maximum(policy: RetryPolicy) -> None:
    least, most = milliseconds(policy.min_backoff), milliseconds(policy.max_backoff)
    for attempt in range(12):
        expected = min(most, least * 2**attempt)
        assert abs(policy.backoff_ms(attempt, jitter=1) - expected) <= 1


@given(st.integers(0, 50), attempts)
def test_a_message_runs_once_more_than_it_may_be_retried(retries: int, attempt: int) -> None:
    assert RetryPolicy(max_retries=retries).allows(attempt) is (attempt < retries)
    assert RetryPolicy(max_retries=None).allows(attempt)
