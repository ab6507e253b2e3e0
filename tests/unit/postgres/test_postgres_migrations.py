from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import DeclarationError, SchemaMismatch
from octoqueue.postgres.migrator import (
    Phase,
    known_migrations,
    leading_pre,
    migrations_from,
    pending_from,
)


def named(*names: str) -> dict[str, str]:
    return {f"{name}.sql": f"select '{name}'" for name in names}


def test_files_become_migrations_in_the_order_of_their_numbers() -> None:
    migrations = migrations_from(named("0002_post_b", "0001_pre_a"))
    assert [(each.number, each.phase, each.name) for each in migrations] == [
        (1, Phase.PRE, "0001_pre_a"),
        (2, Phase.POST, "0002_post_b"),
    ]


@pytest.mark.parametrize("name", ["1_pre_a", "0001_a", "0001_mid_a", "0001_pre_A", "0001_pre_"])
def test_a_misnamed_file_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="is not named"):
        migrations_from(named(name))


def test_two_files_of_one_number_are_refused() -> None:
    with pytest.raises(DeclarationError, match="has the number of 0001_post_b"):
        migrations_from(named("0001_pre_a", "0001_post_b"))


def test_a_changed_file_is_refused_by_name() -> None:
    known = migrations_from(named("0001_pre_a", "0002_pre_b"))
    with pytest.raises(SchemaMismatch, match="0001_pre_a was applied with another text"):
        pending_from(known, {1: "an older checksum"})


def test_a_number_below_one_already_applied_is_refused() -> None:
    known = migrations_from(named("0001_pre_a", "0002_pre_late", "0003_pre_c"))
    with pytest.raises(SchemaMismatch, match="0002_pre_late was never applied"):
        pending_from(known, {1: known[0].checksum, 3: known[2].checksum})


@given(applied=st.integers(0, 6), newer=st.integers(0, 3))
def test_what_is_pending_is_exactly_the_rest_even_when_a_newer_release_ran_ahead(
    applied: int, newer: int
) -> None:
    known = migrations_from(named(*(f"{number:04}_pre_x" for number in range(1, 7))))
    done = {each.number: each.checksum for each in known[:applied]}
    ahead = {100 + extra: "unknown here" for extra in range(newer)}
    assert pending_from(known, done | ahead) == known[applied:]


def test_before_the_new_code_only_what_stands_in_front_of_a_post_migration_runs() -> None:
    pending = migrations_from(named("0001_pre_a", "0002_pre_b", "0003_post_c", "0004_pre_d"))
    assert [each.number for each in leading_pre(pending)] == [1, 2]


def test_the_shipped_migrations_are_numbered_without_a_gap() -> None:
    assert [each.number for each in known_migrations()] == list(
        range(1, len(known_migrations()) + 1)
    )
