"""What is found in a text: personal data, secrets, attempts at injection.

Every pattern is linear in the length of the text: its repetitions are bounded or cannot overlap.
What is found is never repeated in full: an excerpt shows that it is there, not what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FINDINGS: Final = 100


class Severity(IntEnum):
    """How much a finding matters, in order."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name.lower()


class Family(IntEnum):
    """What a finding is about."""

    PERSONAL_DATA = 0
    SECRET = 1
    INJECTION = 2

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One match of one rule."""

    rule: str
    family: Family
    severity: Severity
    start: int
    """Characters from the beginning of the text."""
    end: int
    excerpt: str
    """Shows the kind of thing, not the thing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing to find."""

    name: str
    family: Family
    severity: Severity
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] | None = None
    """A check beyond the form, such as a checksum."""


def _luhn_holds(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(digit * 2, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban_holds(text: str) -> bool:
    compact = text.replace(" ", "").upper()
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_address(text: str) -> bool:
    return all(int(part) <= 255 for part in text.split("."))  # noqa: PLR2004 - a byte


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_P, _S, _I = Family.PERSONAL_DATA, Family.SECRET, Family.INJECTION
RULES: Final = (
    Rule(
        "email_address", _P, Severity.MEDIUM,
        _pattern(r"\b[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,4}\.[a-z]{2,24}\b"),
    ),
    Rule(
        "payment_card", _P, Severity.HIGH, _pattern(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])"),
        _luhn_holds,
    ),
    Rule(
        "iban", _P, Severity.HIGH,
        _pattern(r"\b[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b"), _iban_holds,
    ),
    Rule("us_social_security", _P, Severity.HIGH, _pattern(r"\b(?!000|666|9)\d{3}-\d{2}-\d{4}\b")),
    Rule(
        "phone_number", _P, Severity.LOW,
        _pattern(r"(?<!\w)\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b"),
    ),
    Rule(
        "ip_address", _P, Severity.LOW, _pattern(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
        _is_address,
    ),
    Rule("private_key", _S, Severity.HIGH, _pattern(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----")),
    Rule("aws_access_key", _S, Severity.HIGH, re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    Rule("github_token", _S, Severity.HIGH, re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,80}\b")),
    Rule("api_key", _S, Severity.HIGH, re.compile(r"\bsk-[A-Za-z0-9_-]{20,120}")),
    Rule(
        "json_web_token", _S, Severity.HIGH,
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,600}\.[A-Za-z0-9_-]{8,600}\.[A-Za-z0-9_-]{8,600}"),
    ),
    Rule(
        "password", _S, Severity.HIGH,
        _pattern(r"\b(?:password|passwd|pwd|secret|token)\b ?(?:=|:|is) ?['\"]?[^\s'\",;]{6,64}"),
    ),
    Rule(
        "prompt_injection", _I, Severity.HIGH,
        _pattern(
            r"\b(?:ignore|disregard|forget|override) (?:all |any |the |your |my )?"
            r"(?:previous|prior|above|earlier|system|safety) "
            r"(?:instructions?|rules?|prompts?|messages?|guidelines?)"
        ),
    ),
    Rule(
        "prompt_extraction", _I, Severity.MEDIUM,
        _pattern(
            r"\b(?:reveal|print|show|repeat|leak) (?:me )?(?:your|the) "
            r"(?:system |hidden |initial )(?:prompt|instructions?)"
        ),
    ),
    Rule(
        "role_change", _I, Severity.MEDIUM,
        _pattern(
            r"\byou are (?:now|no longer) (?:an? |the )?[a-z]{2,20}"
            r"|\b(?:developer|jailbreak|dan) mode\b"
        ),
    ),
    Rule(
        "sql_injection", _I, Severity.HIGH,
        _pattern(
            r"'\s{0,5}(?:or|and)\s{1,5}'?\w{1,20}'?\s{0,5}=\s{0,5}'?\w{1,20}|;\s{0,5}drop\s{1,5}table\b"
            r"|\bunion\s{1,5}(?:all\s{1,5})?select\b"
        ),
    ),
    Rule(
        "cross_site_scripting", _I, Severity.HIGH,
        _pattern(r"<script\b|\bjavascript:\s{0,3}\w|\bon(?:error|load|click)\s{0,3}=\s{0,3}['\"]"),
    ),
    Rule(
        "shell_injection", _I, Severity.HIGH,
        _pattern(
            r"[;&|]{1,2}\s{0,5}(?:rm\s{1,5}-\w{0,5}[rf]|curl\s|wget\s|nc\s{1,5}-|bash\s{1,5}-[ic])"
            r"|\$\([^)\n]{1,200}\)"
        ),
    ),
    Rule("path_traversal", _I, Severity.MEDIUM, _pattern(r"(?:\.\./){2}|(?:\.\.\\){2}|%2e%2e%2f")),
)  # fmt: skip


def findings_in(text: str, *, most: int | None = MAX_FINDINGS) -> list[Finding]:
    """Return what the rules find, in the order of the text; at most `most`, None for all."""
    return sorted(_matches(text), key=lambda finding: (finding.start, finding.rule))[:most]


def risk_of(findings: list[Finding]) -> Severity:
    """Return the severity of the worst finding, INFO when there is none."""
    return max((finding.severity for finding in findings), default=Severity.INFO)


def _matches(text: str) -> Iterator[Finding]:
    for rule in RULES:
        for match in rule.pattern.finditer(text):
            if rule.holds is None or rule.holds(match[0]):
                yield Finding(
                    rule=rule.name,
                    family=rule.family,
                    severity=rule.severity,
                    start=match.start(),
                    end=match.end(),
                    excerpt=_masked(match[0], rule.family),
                )


def _masked(text: str, family: Family) -> str:
    """Return two characters of a private thing and its length; an attempt is shown as it is."""
    if family is Family.INJECTION:
        return text[:60]
    return f"{text[:2]}… ({len(text)} characters)"
