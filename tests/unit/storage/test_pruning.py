"""Expired results: which days are over, and what is deleted of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from octoqueue.errors import ConfigError, ObjectMissing, ObjectsRefused, StoreUnavailable
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.storage.objects import objects_at
from octoqueue.storage.pruning import prune_results
from octoqueue.storage.retention import expired_days, result_key
from octoqueue.testing.memory_objects import MemoryObjects

DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_the_key_of_a_result_says_its_day_and_its_message_and_is_new_for_each_attempt() -> None:
    ident = new_message_id()
    keys = {result_key(ident, expires_at_ms=moment("2026-03-01T23:59:59")) for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith(f"results/2026-03-01/{text_from_id(ident)}-") for key in keys)


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("2026-03-01T12:00:00", []),
        ("2026-03-02T00:00:00", []),
        ("2026-03-02T23:59:59", []),
        ("2026-03-03T00:00:00", ["2026-03-01"]),
        ("2027-01-01T00:00:00", ["2026-03-01", "2026-03-02"]),
    ],
)
def test_a_day_is_over_when_it_ended_a_day_ago(now: str, over: list[str]) -> None:
    folders = ["2026-03-02", "2026-03-01", "notes", "20260301", "2026-3-1", ""]
    assert expired_days(folders, now_ms=moment(now)) == over


async def test_pruning_deletes_what_has_expired_and_nothing_else_however_often() -> None:
    objects, now_ms = MemoryObjects(), moment("2026-03-10T12:00:00")
    for age in range(-3, 5):
        key = result_key(new_message_id(), expires_at_ms=now_ms - age * DAY_MS)
        await objects.put(key, b"{}")
    await objects.put("results/notes/a", b"")
    await objects.put("other/2020-01-01/a", b"")
    assert await prune_results(objects, now_ms=now_ms) == 3
    assert await prune_results(objects, now_ms=now_ms) == 0
    left = await objects.folders("results")
    assert left == [f"2026-03-{day:02}" for day in (9, 10, 11, 12, 13)] + ["notes"]
    assert await objects.folders("other") == ["2020-01-01"]


async def test_one_pass_is_bounded_and_the_next_goes_on() -> None:
    objects, now_ms = MemoryObjects(), moment("2026-03-10T12:00:00")
    for number in range(25):
        await objects.put(f"results/2026-01-0{number % 3 + 1}/{number}", b"")
    assert await prune_results(objects, now_ms=now_ms, limit=10) == 10
    assert await prune_results(objects, now_ms=now_ms, limit=10) == 10
    assert await prune_results(objects, now_ms=now_ms, limit=10) == 5
    assert objects.objects == {}


def test_a_url_that_names_no_store_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"storage\.url"):
        objects_at("ftp://host/folder")


async def test_a_folder_nobody_may_write_to_is_refused_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objects = objects_at("memory:///")

    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("obstore.put_async", refuse)
    with pytest.raises(ObjectsRefused, match=r"'a/b': not yours"):
        await objects.put("a/b", b"")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [(OSError("gone"), StoreUnavailable), (FileNotFoundError(), ObjectMissing)],
)
async def test_what_went_wrong_is_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, error: OSError, meaning: type[Exception]
) -> None:
    objects = objects_at("memory:///")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("obstore.get_async", fail)
    with pytest.raises(meaning):
        await objects.get("a/b")


async def test_a_bucket_that_does_not_exist_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = objects_at("memory:///")

    def fail(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("obstore.put_async", fail)
    with pytest.raises(ObjectsRefused, match="no such bucket"):
        await objects.put("a/b", b"")
