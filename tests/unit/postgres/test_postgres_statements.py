from __future__ import annotations

from importlib.resources import files

import pytest

from octoqueue.errors import DeclarationError
from octoqueue.postgres.statements import load_statements, parse_statements

GOOD = """-- A file may begin with words about itself.

-- name: count_things
-- Counts.
-- $1 text: their kind
-- returns one row
select count(*) from things
where kind = $1; -- the end

-- name: drop_things
-- returns nothing
delete from things;
"""


def test_statements_are_found_by_name_and_sent_without_their_comments() -> None:
    count, drop = parse_statements(GOOD, origin="things")
    assert (count.name, count.parameters) == ("count_things", 1)
    assert count.text == "select count(*) from things\nwhere kind = $1"
    assert (drop.name, drop.parameters, drop.text) == ("drop_things", 0, "delete from things")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        pytest.param("-- name: things\nselect 1;", "verb_object", id="not a verb_object"),
        pytest.param("-- name: Get_things\nselect 1;", "verb_object", id="upper case"),
        pytest.param("-- name: get_it\nselect 1;\n-- name: get_it\nselect 2;", "taken", id="twice"),
        pytest.param("-- name: get_it\n-- nothing\n;", "no statement", id="empty"),
        pytest.param("-- name: get_it\nselect $1;", "parameters", id="unexplained"),
        pytest.param("-- name: get_it\n-- $1 int: x\nselect 1;", "parameters", id="unused"),
        pytest.param(
            "-- name: get_it\n-- $2 int: y\n-- $1 int: x\nselect $1 + $2;", "in order", id="order"
        ),
        pytest.param("-- name: get_it\n-- $2 int: x\nselect $2;", "parameters", id="a gap"),
    ],
)
def test_a_statement_that_breaks_a_rule_is_refused_by_name(source: str, complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        parse_statements(source, origin="things")


def test_every_shipped_file_keeps_the_rules_and_is_lower_case() -> None:
    folder = files("octoqueue.postgres").joinpath("sql")
    owners = [each.name.removesuffix(".sql") for each in folder.iterdir()]
    assert {"tasks", "migrations", "upkeep"} <= set(owners)
    for owner in owners:
        for statement in load_statements(owner).values():
            assert statement.text == statement.text.lower(), statement.name
