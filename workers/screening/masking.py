"""Secrets in a result, masked before anybody outside sees it.

Only what is certain by its form is masked: keys, tokens, cards and accounts with a checksum. What
only looks like a password is reported and left, because a program may well hold such a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from workers.screening.patterns import MAX_FINDINGS, Finding, findings_in

if TYPE_CHECKING:
    from collections.abc import Sequence

CERTAIN: Final = frozenset(
    {
        "api_key",
        "aws_access_key",
        "github_token",
        "iban",
        "json_web_token",
        "payment_card",
        "private_key",
    }
)
_END_OF_KEY: Final = re.compile(r"-----END [A-Z ]{0,20}PRIVATE KEY-----")


def masked(value: object) -> tuple[Any, list[Finding]]:
    """Return JSON with its secrets masked, and what was found in all its texts.

    It is the same object when there was nothing to mask.
    """
    match value:
        case str():
            return _masked_text(value)
        case dict():
            members = cast("dict[str, object]", value)
            done = {name: masked(item) for name, item in members.items()}
            found = _joined([findings for _, findings in done.values()])
            if all(done[name][0] is item for name, item in members.items()):
                return members, found
            return {name: item for name, (item, _) in done.items()}, found
        case list():
            items = cast("list[object]", value)
            each = [masked(item) for item in items]
            found = _joined([findings for _, findings in each])
            if all(new is old for (new, _), old in zip(each, items, strict=True)):
                return items, found
            return [item for item, _ in each], found
        case _:
            return value, []


def _masked_text(text: str) -> tuple[str, list[Finding]]:
    findings = findings_in(text, most=None)
    parts: list[str] = []
    at = 0
    for finding in findings:
        if finding.rule not in CERTAIN or finding.start < at:
            continue
        parts += (text[at : finding.start], f"[{finding.rule} masked]")
        at = finding.end
        if finding.rule == "private_key":
            end = _END_OF_KEY.search(text, at)
            at = len(text) if end is None else end.end()
    return ("".join(parts) + text[at:] if parts else text), findings


def _joined(found: Sequence[list[Finding]]) -> list[Finding]:
    return [finding for findings in found for finding in findings][:MAX_FINDINGS]
