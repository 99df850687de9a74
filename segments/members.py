"""Put people into a segment and take them out by identifier, and list who is in: for the API, the admin and uploads.

A person is put in by the same decision as a fire does it (`segments.membership`), in one transaction for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, models, transaction

from audience.columns import batch_cursor
from audience.days import LocalDays
from audience.instants import Instant, instant, microseconds
from audience.named import Named, Nobody, find_named
from audience.news import Changed, Happened
from audience.talk import Talk, speak
from segments.changes import Asked, apply_changes
from segments.membership import Change, holds
from segments.models import LARGEST_VALUE, AccountMembership, Cause, Membership, Segment
from segments.waking import wake


class Refused(models.TextChoices):
    """Why one person was not put in or taken out (pixels.md 6.3)."""

    BAD_IDENTIFIER = Nobody.BAD_IDENTIFIER.value, Nobody.BAD_IDENTIFIER.label
    UNKNOWN_IDENTIFIER = Nobody.UNKNOWN_IDENTIFIER.value, Nobody.UNKNOWN_IDENTIFIER.label
    UNKNOWN_BROWSER = Nobody.UNKNOWN_BROWSER.value, Nobody.UNKNOWN_BROWSER.label
    INACTIVE_SEGMENT = "inactive_segment", "The segment is switched off."
    WRONG_KIND = "wrong_kind", "Members of a rule segment follow from its rule."
    BAD_VALUE = "bad_value", "The value is not a whole number from 0."
    VALUE_OVERFLOW = "value_overflow", "The value is above 2,147,483,647."
    VALUE_OUT_OF_RANGE = "value_out_of_range", "The value is outside the range that the segment takes."
    BAD_LIFETIME = "bad_lifetime", "The lifetime is not at least one minute."


@dataclass(frozen=True)
class Ask:
    """One person to put in or take out. Without a lifetime the segment's counts; without a value the stored stays."""

    do: Literal["add", "remove"]
    kind: str
    identifier: str
    value: int | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True)
class Answer:
    """What became of one `Ask`: refused with a reason, or done with notes."""

    reason: Refused | None = None
    profile_id: UUID | None = None
    joined: bool = False
    left: bool = False
    notes: tuple[str, ...] = ()


def change_members(segment: Segment, asked: Sequence[Ask], *, at: datetime, cause: Cause = Cause.API) -> list[Answer]:
    """Put people in and take them out in one transaction; return an answer for each, in order.

    A refused one does not hold back the others. Adding makes a profile for an identifier that is not known yet,
    except for browser ids, which only our cookie makes; removing makes none.
    """
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        return speak(cursor, _change(segment, asked, instant(at), cause))


def _change(segment: Segment, asked: Sequence[Ask], at: Instant, cause: Cause) -> Talk[list[Answer]]:
    answers = [Answer(_refuse(segment, ask)) for ask in asked]
    good = [number for number, answer in enumerate(answers) if answer.reason is None]
    named = [Named(asked[number].kind, asked[number].identifier, asked[number].do == "add") for number in good]
    found = yield from find_named(segment.advertiser, named, at)
    done: list[int] = []
    changes: list[Asked] = []
    for number, who in zip(good, found, strict=True):
        if isinstance(who, Nobody):
            answers[number] = Answer(Refused(who.value))
        else:
            done.append(number)
            change = _change_of(segment, asked[number], cause)
            changes.append(Asked.of(segment.advertiser_id, who, change, at))
    days = LocalDays({segment.advertiser_id: ZoneInfo(segment.advertiser.time_zone)})
    decisions = yield from apply_changes(changes, days)
    touched = [(one.advertiser_id, one.key[0], segment.pk) for one in changes]
    # Some of them may be new; nobody is the worse for being asked about.
    new = [
        Changed(segment.advertiser_id, one.key[0], kinds=[asked[number].kind], is_new=True)
        for number, one in zip(done, changes, strict=True)
        if asked[number].do == "add"
    ]
    yield from wake(Happened(at, changed=new), touched)
    for number, one, decision in zip(done, changes, decisions, strict=True):
        steps = {step.change for step in decision.steps}
        notes = (*_notes(segment, asked[number]), *decision.notes)
        answers[number] = Answer(None, UUID(bytes=one.key[0]), "join" in steps, "leave" in steps, notes)
    return answers


def _refuse(segment: Segment, ask: Ask) -> Refused | None:
    if segment.kind != Segment.Kind.PIXEL:
        return Refused.WRONG_KIND
    if not segment.is_active or segment.deleted_at is not None:
        return Refused.INACTIVE_SEGMENT
    if ask.lifetime is not None and ask.lifetime < timedelta(minutes=1):
        return Refused.BAD_LIFETIME
    if ask.value is None:
        return None
    if ask.value < 0:
        return Refused.BAD_VALUE
    if ask.value > LARGEST_VALUE:
        return Refused.VALUE_OVERFLOW
    smallest, largest = segment.value_from or 0, segment.value_to
    is_outside = ask.value < smallest or (largest is not None and ask.value > largest)
    return Refused.VALUE_OUT_OF_RANGE if is_outside else None


def _notes(segment: Segment, ask: Ask) -> tuple[str, ...]:
    is_shortened = ask.lifetime is not None and ask.lifetime > segment.longest_lifetime
    return ("lifetime_shortened",) if is_shortened else ()


def _change_of(segment: Segment, ask: Ask, cause: Cause) -> Change:
    lifetime = segment.lifetime if ask.lifetime is None else min(ask.lifetime, segment.longest_lifetime)
    return Change(
        ask.do,
        segment.pk,
        segment.active_version,
        cause=cause,
        lifetime=microseconds(lifetime),
        value=ask.value if ask.do == "add" else None,
        refire=segment.refire,
        re_add=segment.re_add,
    )


def holding(segment: Segment, at: datetime) -> models.QuerySet[Membership]:
    """Return the memberships of a segment that hold at an instant; read them by key, in the order of profile ids."""
    return Membership.objects.filter(holds(at), segment=segment, version=segment.active_version)


def accounts_holding(segment: Segment, at: datetime) -> models.QuerySet[AccountMembership]:
    """Return the same of a segment of accounts, in the order of account ids."""
    return AccountMembership.objects.filter(holds(at), segment=segment, version=segment.active_version)


def members(segment: Segment, at: datetime, *, after: UUID | None = None, most: int = 100) -> list[Membership]:
    """Return up to `most` memberships that hold at an instant, in the order of profile ids, those after one.

    Read by key: `membership_of_segment` from (segment, version, after), never by an offset.
    """
    rows = holding(segment, at)
    if after is not None:
        rows = rows.filter(profile_id__gt=after)
    return list(rows.order_by("profile_id")[:most])
