"""A model without a network: rules in the order they are tried, and what they answer.

`plans` chooses an arm, `commands` finds a command, `recipes` holds programs, `answers` quotes and
reviews. Everything is deterministic: one goal always gets one answer, so tests, demonstrations and
laptops without a key behave alike. It is named `offline-deterministic`, and says so where it does
not know something instead of inventing it.

The weakness is the point: it understands the phrases written in these files and no others.
"""
