"""What may be changed of a segment, by its kind, and how: its rule and whether it is active are more than columns."""

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, IntegerField, When

from segments.checking import check
from segments.models import RuleVersion, Segment
from segments.rules.refusals import RuleRefused
from segments.surroundings import surroundings_of
from segments.versions import NotAllowed, locked, pause, resume, save_rule, users_of

State = RuleVersion.State
# What says how people are put in. Those of a rule follow from it.
_OF_PIXELS = (
    "lifetime_minutes",
    "longest_lifetime_minutes",
    "refire",
    "value_from",
    "value_to",
    "re_add",
    "write_mode",
    "domains",
    "are_domains_enforced",
    "removing",
    "id_syncs_per_fire",
)


def check_change(old: Segment | None, new: Segment) -> None:
    """Raise `ValidationError` where a segment, as it would be saved, has what its kind does not have.

    `old` is the segment as it is, None for a new one.
    """
    problems: dict[str, str] = {}
    if new.kind == Segment.Kind.RULE:
        before = old or Segment()
        changed = [name for name in _OF_PIXELS if getattr(new, name) != getattr(before, name)]
        problems = dict.fromkeys(
            changed, "Only a segment of the kind “pixel” has this: here the rule says who is in."
        )
    if old is not None and old.code != new.code:
        if new.kind == Segment.Kind.RULE:
            problems["code"] = "It stays: rules of others name the segment by it, and shares are drawn by it."
        elif names := sorted({f"“{version.segment.name}”" for version in users_of(old)}):
            problems["code"] = f"{', '.join(names)} use “{old.code}” in their rules. Change them first."
    if problems:
        raise ValidationError(problems)


class Overtaken(NotAllowed):
    """Somebody else has saved a rule meanwhile."""

    def __init__(self, version: RuleVersion) -> None:
        super().__init__(f"Version {version.number} was saved meanwhile. Look at what it changed, then save yours.")


@transaction.atomic
def change_segment(
    segment: Segment,
    columns: Mapping[str, Any],
    *,
    rule: str | None = None,
    based_on: int | None = None,
    author: User | None = None,
) -> None:
    """Save columns of a segment that was checked, and its rule if there is one; raise `NotAllowed`, `RuleRefused`.

    No other column is written: the version that serves may be switched at the same time. `based_on` is the version
    that the rule was changed from; `Overtaken` is raised where another one is the newest.
    """
    if based_on is not None and segment.pk is not None:
        _refuse_overtaken(segment, based_on)
    wanted = dict(columns)
    is_active = wanted.pop("is_active", None) if segment.kind == Segment.Kind.RULE else None
    for name, value in wanted.items():
        setattr(segment, name, value)
    saved = None if rule is None else checked_rule(segment, rule)
    segment.save(update_fields=None if segment.pk is None else list(wanted))
    if is_active and not segment.is_active:
        resume(segment, author=author)
    if saved is not None:
        save_rule(segment, saved, author=author)
    if is_active is False and segment.is_active:
        pause(segment, author=author)


def newest_versions(segment_ids: Collection[int]) -> dict[int, RuleVersion]:
    """Return the version of each segment that is meant: what is being built or serves, else the last that was to."""
    is_past = Case(When(state__in=[State.ACTIVE, State.BUILDING], then=0), default=1, output_field=IntegerField())
    rows = RuleVersion.objects.filter(segment_id__in=segment_ids)
    newest = rows.order_by("segment_id", is_past, "-number").distinct("segment_id")
    return {version.segment_id: version for version in newest}


def _refuse_overtaken(segment: Segment, based_on: int) -> None:
    locked(segment.pk)
    newest = newest_versions([segment.pk]).get(segment.pk)
    if newest is not None and newest.number != based_on:
        raise Overtaken(newest)


def checked_rule(segment: Segment, rule: str) -> str:
    """Return the saved form of a rule for a segment; raise `RuleRefused`."""
    around = surroundings_of(segment.advertiser_id)
    checked = check(rule, segment.advertiser_id, around, own_key=segment.code)
    if checked.saved is None:
        raise RuleRefused(checked.problems)
    return checked.saved
