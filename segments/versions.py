"""The versions of a segment's rule: a rule is saved, built for everybody beside the one that serves, and switched to.

While a version is built, facts keep both true. One instant, the switch, lets the new one serve; then those who differ
between the two join or leave. Segments that use the edited one are built and switched with it.
"""

from collections.abc import Collection
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from segments.evaluation import switch_lock
from segments.models import Cause, RuleVersion, Segment
from segments.rulebook import entry_of
from segments.rules.nodes import segments_named
from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import Uncompilable
from segments.rules.touching import parts
from segments.rules.tree import IsMember, Of, SegmentCondition
from segments.rules.writing import write
from segments.surroundings import clock_and_currency_of, rule_of
from segments.sweeper import sweep_segment
from segments.tables import about, of_segment

State = RuleVersion.State
PAUSED = "The segment is paused. Resume it first."


class NotAllowed(Exception):
    """Why something cannot be done to a rule; the text is for people."""


def locked(segment_id: int) -> Segment:
    """Return a segment under its lock: of two edits at once one is the second.

    Facts and builds, whose rows point to the segment, wait for neither.
    """
    return Segment.all_advertisers.select_for_update(no_key=True).get(pk=segment_id)


@transaction.atomic
def save_rule(
    segment: Segment,
    text: str,
    *,
    author: User | None = None,
    at: datetime | None = None,
) -> RuleVersion:
    """Save a rule for a segment and return its version, which is to be built; raise `RuleRefused`.

    Whether what it names is there is for `segments.editing` to check. A change of notes and labels alone goes into
    the version that is there, and nothing is built.
    """
    if segment.kind != Segment.Kind.RULE:
        raise NotAllowed("Members of this segment are put in by pixels, the API or an upload.")
    rule = read(text, own_key=segment.code).rule
    if not segment.is_active:
        raise NotAllowed(PAUSED)
    locked(segment.pk)
    versions = RuleVersion.all_advertisers.filter(segment=segment).order_by("-number")
    if versions.exists() and rule.of != segment.of:
        raise NotAllowed(f"Members of this segment are {segment.of}s, for ever. Make another one for {rule.of}s.")
    newest = versions.filter(state__in=[State.ACTIVE, State.BUILDING]).first()
    if newest is not None and _meaning(rule_of(newest.rule)) == _meaning(rule):
        newest.rule = write(rule)
        newest.save(update_fields=["rule"])
        return newest
    if not versions.exists():
        _serve_nobody(segment, rule.of)
    return _begin(segment, write(rule), author, at or timezone.now())


# Who would come in by time does not.
_PAUSE = """
    UPDATE segments_membership m SET upcoming = NULL, starts_at = least(m.starts_at, %(at)s),
        expires_at = CASE WHEN m.starts_at > %(at)s THEN %(at)s ELSE m.expires_at END,
        sweep_at = CASE WHEN m.starts_at > %(at)s THEN NULL ELSE m.sweep_at END
    WHERE m.segment_id = %(segment)s AND m.version = %(version)s AND (m.starts_at > %(at)s OR m.upcoming IS NOT NULL)
"""


@transaction.atomic
def pause(segment: Segment, *, author: User | None = None, at: datetime | None = None) -> None:
    """Let a segment take nobody in; its members leave at their ends. Those that use it are built anew."""
    at = at or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [switch_lock(segment.advertiser_id)])
        segment.refresh_from_db(fields=["active_version"])
        sweep_segment(segment, [segment.active_version], at)
        cursor.execute(
            about(of_segment(segment), _PAUSE), {"at": at, "segment": segment.pk, "version": segment.active_version}
        )
    segment.is_active = False
    segment.save(update_fields=["is_active"])
    drop_unfinished(segment)
    _mend([segment], author, at)


def drop_unfinished(segment: Segment) -> None:
    """Give up the version that is being built, if there is one."""
    RuleVersion.all_advertisers.filter(segment=segment, state=State.BUILDING).update(state=State.SUPERSEDED)


@transaction.atomic
def resume(segment: Segment, *, author: User | None = None, at: datetime | None = None) -> RuleVersion:
    """Let a paused segment take people in again: its rule is built anew, as after an edit.

    That is the newest one, of those that did not fail where there are any.
    """
    versions = RuleVersion.all_advertisers.filter(segment=segment).order_by("-number")
    version = versions.exclude(state=State.FAILED).first() or versions.first()
    if version is None:
        raise NotAllowed("The segment has no rule yet. Save one first.")
    segment.is_active = True
    segment.save(update_fields=["is_active"])
    return _begin(segment, version.rule, author, at or timezone.now())


@transaction.atomic
def build_again(version: RuleVersion, *, author: User | None = None, at: datetime | None = None) -> RuleVersion:
    """Begin anew what could not be built; raise `NotAllowed` where that is no question any more."""
    segment = locked(version.segment_id)
    if not segment.is_active:
        raise NotAllowed(PAUSED)
    newest = RuleVersion.all_advertisers.filter(segment=segment).latest("number")
    if newest.pk != version.pk or newest.state != State.FAILED:
        raise NotAllowed("Something has changed meanwhile. Look at the page again.")
    return _begin(segment, version.rule, author, at or timezone.now())


def follow_advertisers(at: datetime | None = None) -> None:
    """Begin anew what was built by a clock or a currency that its advertiser has no longer, if the rule asks it
    (rules.md 2.1).
    """
    serving = RuleVersion.all_advertisers.filter(
        state=State.ACTIVE, segment__is_active=True, segment__deleted_at=None
    )
    has_moved = ~Q(zone="") & ~Q(zone=F("advertiser__time_zone"))
    stale = serving.filter(has_moved | ~Q(currency=F("advertiser__currency")))
    for version in stale.select_related("segment").order_by("id"):
        zone, currency = clock_and_currency_of(version.advertiser_id)
        is_begun = RuleVersion.all_advertisers.filter(
            segment=version.segment, state=State.BUILDING, zone=zone, currency=currency
        )
        if is_begun.exists():
            continue  # with another one that it uses
        with transaction.atomic():
            if _says_otherwise_by(zone, currency, version):
                _begin(version.segment, version.rule, None, at or timezone.now())
            else:
                RuleVersion.all_advertisers.filter(pk=version.pk).update(zone=zone, currency=currency)


def _says_otherwise_by(zone: str, currency: str, version: RuleVersion) -> bool:
    """Say whether a rule means something else by them; one that cannot be compiled means nothing by any."""
    try:
        was = entry_of(version).ruled.compiled
        version.zone, version.currency = zone, currency
        return was.expression != entry_of(version).ruled.compiled.expression
    except (RuleRefused, Uncompilable):
        return False


def users_of(segment: Segment) -> list[RuleVersion]:
    """Return the versions, serving or being built, of rules that name a segment."""
    return [
        version
        for version in RuleVersion.all_advertisers.filter(
            advertiser_id=segment.advertiser_id, state__in=[State.ACTIVE, State.BUILDING], segment__deleted_at=None
        ).select_related("segment")
        if version.segment_id != segment.pk and segment.code in _named_by(version)
    ]


def _named_by(version: RuleVersion) -> Collection[str]:
    """Return the segments that a rule names; one that this version of Muster cannot read stops no other."""
    try:
        return segments_named(rule_of(version.rule))
    except RuleRefused:
        return ()


def _serve_nobody(segment: Segment, of: Of) -> None:
    """Before its first rule is built a segment serves a version that has no rows."""
    segment.of, segment.active_version = of, 0
    segment.save(update_fields=["of", "active_version"])


def _begin(segment: Segment, rule: str, author: User | None, at: datetime) -> RuleVersion:
    """Begin a version, and one of each segment that uses this one; what was being built of these is dropped."""
    lead = _begin_one(segment, rule, author, at, None)
    done, waiting = {segment.pk}, [segment]
    while waiting:
        for user in users_of(waiting.pop()):
            if user.segment_id not in done and user.state == State.ACTIVE and user.segment.is_active:
                done.add(user.segment_id)
                _begin_one(user.segment, user.rule, author, at, lead)
                waiting.append(user.segment)
    return lead


def _begin_one(
    segment: Segment, rule: str, author: User | None, at: datetime, lead: RuleVersion | None
) -> RuleVersion:
    versions = RuleVersion.all_advertisers.filter(segment=segment)
    unfinished = versions.filter(state=State.BUILDING).first()
    if unfinished is not None and lead is not None:
        rule = unfinished.rule  # an edit of its own, which goes on beside the one that it uses
    if unfinished is not None:
        versions.filter(pk=unfinished.pk).update(state=State.SUPERSEDED)
        RuleVersion.all_advertisers.filter(lead=unfinished, state=State.BUILDING).update(lead=lead)
    newest = versions.order_by("-number").values_list("number", flat=True).first() or 0
    zone, currency = clock_and_currency_of(segment.advertiser_id)
    return RuleVersion.all_advertisers.create(
        advertiser_id=segment.advertiser_id,
        segment=segment,
        number=newest + 1,
        rule=rule,
        author=author,
        created_at=at,
        lead=lead,
        zone=zone,
        currency=currency,
    )


def _meaning(part: Any) -> Any:
    """Return a rule, or a part of one, without what its author only notes down."""
    if is_dataclass(part) and not isinstance(part, type):
        kept = {field.name: _meaning(getattr(part, field.name)) for field in fields(part) if field.name != "path"}
        kept |= {name: "" for name in ("note", "label") if name in kept}
        return replace(part, **kept)
    return tuple(_meaning(one) for one in part) if isinstance(part, tuple) and type(part) is tuple else part


# Who differs between the version that served and the one that does from this instant on: `steps`. What was due by
# then is published already. All parts see the rows as they were before.
_SWITCH = """
    WITH was AS MATERIALIZED (
        SELECT m.profile_id, m.starts_at FROM segments_membership m
        WHERE m.segment_id = %(segment)s AND m.version = %(old)s
            AND m.starts_at <= %(at)s AND %(at)s < m.expires_at
    ), joined AS (
        UPDATE segments_membership m SET starts_at = %(at)s, last_added_at = %(at)s
        WHERE m.segment_id = %(segment)s AND m.version = %(new)s
            AND m.starts_at <= %(at)s AND %(at)s < m.expires_at
            AND NOT EXISTS (SELECT FROM was w WHERE w.profile_id = m.profile_id)
        RETURNING m.profile_id
    ), stayed AS (
        UPDATE segments_membership m SET starts_at = w.starts_at, last_added_at = w.starts_at
        FROM was w WHERE m.profile_id = w.profile_id AND m.segment_id = %(segment)s AND m.version = %(new)s
            AND m.starts_at <= %(at)s AND %(at)s < m.expires_at AND m.starts_at <> w.starts_at
    ), steps AS (
        SELECT profile_id, TRUE AS is_join FROM joined
        UNION ALL
        SELECT w.profile_id, FALSE FROM was w WHERE NOT EXISTS (
            SELECT FROM segments_membership m
            WHERE m.profile_id = w.profile_id AND m.segment_id = %(segment)s AND m.version = %(new)s
                AND m.starts_at <= %(at)s AND %(at)s < m.expires_at
        )
    ), published AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT %(advertiser)s, profile_id, %(segment)s, %(at)s, CASE WHEN is_join THEN 'join' ELSE 'leave' END,
            %(cause)s
        FROM steps ON CONFLICT DO NOTHING
    ), counted AS (
        SELECT count(*) FILTER (WHERE is_join) AS joins, count(*) FILTER (WHERE NOT is_join) AS leaves FROM steps
    )
    INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
        monthly_uniques)
    SELECT a.id, %(segment)s, (%(at)s AT TIME ZONE a.time_zone)::date, c.joins, c.leaves, 0, 0, 0
    FROM counted c JOIN audience_advertiser a ON a.id = %(advertiser)s WHERE c.joins + c.leaves > 0
"""


def switch(group: list[RuleVersion], at: datetime | None = None) -> bool:
    """Let versions that are built together serve, in one instant; return whether they do.

    False where another edit has taken their place meanwhile. Facts that concern this advertiser's rules wait.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        advertiser_id = group[0].advertiser_id
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [switch_lock(advertiser_id)])
        ids = [version.pk for version in group]
        waiting = RuleVersion.all_advertisers.select_for_update(no_key=True).filter(pk__in=ids, state=State.BUILDING)
        if len(waiting) != len(ids):
            return False
        at = at or timezone.now()
        switched: list[Segment] = []
        for version in group:
            segment = Segment.all_advertisers.get(pk=version.segment_id)
            old, new = segment.active_version, version.number
            sweep_segment(segment, [old, new], at)
            keys = {"advertiser": advertiser_id, "segment": segment.pk, "old": old, "new": new}
            cursor.execute(about(of_segment(segment), _SWITCH), {"at": at, "cause": Cause.EDIT, **keys})
            RuleVersion.all_advertisers.filter(segment=segment, number=old).update(state=State.SUPERSEDED)
            refresh_at = at if _asks_since_when(version, group) else _refresh_at(version, at)
            RuleVersion.all_advertisers.filter(pk=version.pk).update(
                state=State.ACTIVE, complete_since=at, refresh_at=refresh_at
            )
            segment.active_version = new
            segment.save(update_fields=["active_version"])
            switched.append(segment)
        _mend(switched, None, at)
    return True


def _mend(changed: list[Segment], author: User | None, at: datetime) -> None:
    """Build anew what uses changed segments and was not built with them: it was saved or changed meanwhile."""
    ids = {segment.pk for segment in changed}
    users = {user.segment_id: user for segment in changed for user in users_of(segment) if user.segment_id not in ids}
    for user in users.values():
        unfinished = RuleVersion.all_advertisers.filter(segment=user.segment_id, state=State.BUILDING).first()
        # An edit of its own goes on from the start; where what it was built with is given up, it is built alone.
        lead = unfinished and (unfinished.lead or unfinished)
        if lead is not None and lead.state == State.BUILDING:
            group = RuleVersion.all_advertisers.filter(Q(pk=lead.pk) | Q(lead=lead), state=State.BUILDING)
            group.update(built_to=None, profiles_done=0)
        elif user.segment.is_active:
            _begin(user.segment, (unfinished or user).rule, author, at)


def _asks_since_when(version: RuleVersion, group: list[RuleVersion]) -> bool:
    """Say whether a rule asks since when somebody is in a segment that switches with it, or out of it.

    For those whom the switch itself moves that is known from then on: such a rule is asked once more.
    """
    codes = {one.segment.code for one in group}
    return any(
        isinstance(part, SegmentCondition)
        and not codes.isdisjoint(part.segments)
        and (not isinstance(part.asks, IsMember) or part.asks.for_at_least is not None)
        for part in parts(rule_of(version.rule))
    )


def _refresh_at(version: RuleVersion, at: datetime) -> datetime | None:
    """Return when half of what is written out is used (rules.md 2.10), counted from where the building began."""
    horizon: timedelta | None = entry_of(version).ruled.compiled.horizon
    return None if horizon is None else min(at, version.created_at) + horizon / 2
