"""E-mail addresses and phone numbers in a text that is not meant to hold one: such a text is not kept.

The patterns have no part that could match the same text in two ways, so they take linear time.
"""

import re
from urllib.parse import unquote

_EMAIL = re.compile(r"[\w.%+-]@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2}")
_INTERNATIONAL = re.compile(r"(?<![\w+])\+[1-9](?:[ ()/.-]{0,2}[0-9]){7,14}(?![0-9])")


def holds_email(text: str) -> bool:
    """Say whether there is an e-mail address in a text, percent-encoded or not."""
    return _EMAIL.search(unquote(text)) is not None


def holds_international_phone(text: str) -> bool:
    """Say whether there is a phone number in its international form, with a plus sign."""
    return _INTERNATIONAL.search(unquote(text)) is not None


def names_a_person(text: str) -> bool:
    """Say whether a text holds an e-mail address or an international phone number."""
    may_hold = "@" in text or "%" in text or "+" in text  # most texts do not: the patterns cost ten times as much
    return may_hold and (holds_email(text) or holds_international_phone(text))
