"""What may be shown of a text that may hold a secret.

A URL keeps everything but its password; that is what an operator needs to recognise a server by.
The weakness: only URLs are recognised. A secret that stands alone must be masked by whoever knows
that it is one.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "****"
"""Stands for what is not shown; its length says nothing about the secret's."""

# Up to the last "@" before a space or a quote: a password may hold an "@" that nobody escaped,
# and hiding a part of the host name is better than showing a part of the password.
_PASSWORD_IN_URL: Final = re.compile(r"(://[^\s:/@?#'\"]*):[^\s'\"]*@")
_PASSWORD_IN_SECRET: Final = re.compile(r"(://[^:@]*):.*@", re.DOTALL)
_SECRET_IN_QUERY: Final = re.compile(
    r"([?&](?:password|sslpassword|token|secret|api_?key)=)[^&\s'\"]*", re.IGNORECASE
)


def mask_urls(text: str) -> str:
    """Return `text` with the passwords of all URLs in it hidden."""
    if "://" not in text:
        return text
    return _SECRET_IN_QUERY.sub(rf"\1{MASK}", _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", text))


def mask_secret(text: str) -> str:
    """Return what may be shown of a text known to be secret: a URL without password, or nothing.

    A whole text is masked more boldly than a URL somewhere in a sentence.
    """
    if "://" not in text:
        return MASK
    return _SECRET_IN_QUERY.sub(rf"\1{MASK}", _PASSWORD_IN_SECRET.sub(rf"\1:{MASK}@", text))
