"""Secrets in a result, masked before anybody outside sees it.

Only what is certain by its form is masked: keys, tokens, cards and accounts with a checksum, and of
these not what stands inside a longer name, for one in ten numbers of a file's name passes the
checksum of cards. What only looks like a password is reported and left, because a program may well
hold such a line.
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
_CARD: Final = re.compile(r"3[47]\d{13}|(?:4\d|5[1-5]|2[2-7]|6[045])\d{14}")
"""Digits of the cards there are: 15 or 16, by issuer."""
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
        if finding.start < at or not _is_certain(finding, text):
            continue
        parts += (text[at : finding.start], f"[{finding.rule} masked]")
        at = finding.end
        if finding.rule == "private_key":
            end = _END_OF_KEY.search(text, at)
            at = len(text) if end is None else end.end()
    return ("".join(parts) + text[at:] if parts else text), findings


def _is_certain(finding: Finding, text: str) -> bool:
    """Return whether a finding is what it looks like."""
    if finding.rule not in CERTAIN:
        return False
    found = text[finding.start : finding.end]
    if finding.rule == "iban":
        return found == found.upper()  # else it may be a hexadecimal name
    if finding.rule != "payment_card":
        return True
    before, after = text[: finding.start][-1:], text[finding.end :][:2]
    is_alone = not (before.isalnum() or before in {"_", "."}) and not re.match(r"\w|\.\w", after)
    return is_alone and _CARD.fullmatch(re.sub(r"\D", "", found)) is not None


def _joined(found: Sequence[list[Finding]]) -> list[Finding]:
    return [finding for findings in found for finding in findings][:MAX_FINDINGS]
