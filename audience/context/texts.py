"""What of a stranger's words can be kept: short, one line, fit for JSON in PostgreSQL, and naming nobody."""

import re

from audience.personal import names_a_person

LONGEST_TEXT = 255

# Control characters, half a surrogate pair, and what makes text run backwards over its neighbours on a page.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def text_of(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a value as one line of text, cut; empty where it is no text or cannot be kept."""
    if not value or not isinstance(value, str):
        return ""
    text = " ".join(value[: 4 * longest].split())
    if not text.isprintable() and _UNFIT.search(text):  # what is unfit is not printable: most texts need no search
        return ""
    # Before it is cut: half an address would be none.
    return "" if names_a_person(text) else text[:longest].rstrip()


def word_of(value: object) -> str:
    """Return a short text of a closed or technical kind, in lower case."""
    return text_of(value, 40).lower()


def known(**fields: str | int | float | None) -> dict[str, str | int | float]:
    """Return the fields that are known: an empty text is not."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}
