"""Find whom somebody means who types an identifier of any kind, as people write it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from audience.identity import KINDS, BadIdentifier, Key, normalise
from audience.models import Advertiser, Identifier, Merge

# Before an anonymous id that an SDK made (docs/people.md); whoever copies one out of a page does not know it.
_OF_SDK = "a:"
_PHONE_PREFIX = re.compile(r"(?:tel:)?\s*00\s*(?=[1-9])", re.IGNORECASE)
_TRUNK_ZERO = re.compile(r"\(0\)")


def profiles_behind(advertiser: Advertiser, text: str) -> set[UUID]:
    """Return the profiles that a text means: by an identifier of any kind, `kind:value`, or a profile's own id.

    The id of a profile that went into another one leads to that one.
    """
    keys = [Key(advertiser.pk, kind, value) for kind, value in _readings(text, advertiser.phone_country)]
    rows = Identifier.objects.filter(advertiser=advertiser, pk__in=[UUID(bytes=key.id) for key in keys])
    found = set(rows.values_list("profile_id", flat=True))
    with suppress(ValueError):
        found.add(profile_after_merge(text) or UUID(text))
    return found


def profile_after_merge(id_: str | UUID) -> UUID | None:
    """Return where a profile went, by the id that it had; None where it went nowhere, and where that is no id."""
    try:
        gone = UUID(str(id_))
    except ValueError:
        return None
    into: UUID | None = Merge.objects.filter(pk=gone).values_list("into_id", flat=True).first()
    return into


def _readings(text: str, country: str) -> Iterator[tuple[str, str]]:
    """Yield each kind of identifier that the text could be, with its value in the stored form."""
    for kind, guess in _guesses(text):
        try:
            yield kind, normalise(kind, guess, country=country)
        except BadIdentifier:
            continue


def _guesses(text: str) -> Iterator[tuple[str, str]]:
    name, _, rest = text.partition(":")
    for kind in KINDS:
        yield kind, text
        yield from _other_writings(kind, text)
    if name in KINDS:
        yield name, rest
        yield from _other_writings(name, rest)
    partner, _, value = rest.partition(":")
    if name == "partner" and value:
        yield f"partner:{partner}", value


def _other_writings(kind: str, text: str) -> Iterator[tuple[str, str]]:
    if kind == "device":
        yield kind, f"{_OF_SDK}{text.strip()}"
    if kind == "phone":
        yield kind, _TRUNK_ZERO.sub("", _PHONE_PREFIX.sub("+", text.strip(), count=1))
