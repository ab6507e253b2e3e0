"""What to look at when a kind of system is analysed: checklists by topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Checklist:
    """One topic."""

    topic: str
    words: re.Pattern[str]
    points: tuple[str, ...]


def _checklist(topic: str, words: str, *points: str) -> Checklist:
    return Checklist(topic, re.compile(rf"\b(?:{words})", re.IGNORECASE), points)


CHECKLISTS: Final = (
    _checklist(
        "web application",
        r"web|site|browser|http|frontend|html|cookie",
        "Access: is every request authorised on the server, object by object, and not only hidden?",
        "Injection: does any SQL, shell, template or LDAP text contain what a user sent?",
        "Scripts: is output escaped for its place, and is there a content security policy?",
        "Sessions: are cookies HttpOnly, Secure and SameSite, and do they end on logout?",
        "Forgery: do state-changing requests carry a token or a strict origin check?",
        "Requests by the server: can a user choose a URL that it fetches?",
        "Transport: is everything HTTPS with HSTS, and is no secret in a URL?",
        "Errors: do answers show stack traces, versions or internal addresses?",
    ),
    _checklist(
        "API",
        r"apis?\b|endpoint|rest\b|graphql|webhook|microservice",
        "Keys: are they hashed at rest, scoped, rotated, and never logged?",
        "Limits: are rate, body size, page size and query depth bounded per caller?",
        "Input: is every field validated by type, length and range, unknown ones refused?",
        "Webhooks: are they signed, timestamped and safe to receive twice?",
    ),
    _checklist(
        "database",
        r"database|sql\b|postgres|mysql|redis|mongo|storage",
        "Accounts: does each service have its own, with only the rights it uses?",
        "Statements: are all of them parameterised?",
        "Data: are backups encrypted and restored in practice, and is retention enforced?",
        "Network: is it reachable only from those who need it, with TLS?",
    ),
    _checklist(
        "container platform",
        r"container|docker|kubernetes|k8s|cluster|pod\b|helm",
        "Images: are they pinned by digest, scanned, small, and run without root?",
        "Rights: are capabilities dropped, file systems read-only, service accounts minimal?",
        "Network: do policies deny by default between namespaces?",
        "Secrets: are they mounted and not in environment dumps or images?",
    ),
    _checklist(
        "AI agent",
        r"agents?\b|llm|model|prompt|chatbot|ai\b",
        "Instructions: is text from users and documents treated as data, never as commands?",
        "Tools: is each one allow-listed, sandboxed, and confirmed when it changes something?",
        "Data: can one tenant's context reach another's answer?",
        "Spending: are steps, tokens and children of a run bounded?",
    ),
)
GENERAL: Final = _checklist(
    "any system",
    r"",
    "Assets: what is worth protecting, and from whom?",
    "Entries: where does outside data come in, and who checks it?",
    "Rights: does everyone and everything have only what it needs?",
    "Traces: would an intrusion be seen, and by whom?",
    "Updates: how fast does a fix of a dependency reach production?",
)


def checklists_for(goal: str) -> tuple[Checklist, ...]:
    """Return the checklists a goal speaks of; the general one when it names no topic."""
    return tuple(each for each in CHECKLISTS if each.words.search(goal)) or (GENERAL,)
