"""Compute a rule for everybody, in chunks of profiles in the order of their ids; how far that is stands in rows.

Each chunk is a transaction of its own under the locks of its profiles. So the work may be stopped, killed and taken
up again anywhere. One builds at a time; a second finds that and leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.utils import DataError, ProgrammingError
from django.utils import timezone

from audience.columns import Uuids, batch_cursor
from audience.crash import crash_point
from audience.instants import instant
from audience.talk import speak
from segments.evaluation import Asked, AskedOfCrowd, Because, evaluate
from segments.models import Cause, RuleVersion
from segments.rulebook import Entry, entry_of
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import Uncompilable
from segments.tables import MEMBERS, MEMBERSHIPS, about, of_segment
from segments.versions import follow_advertisers, switch

log = structlog.get_logger(__name__)

CHUNK_PROFILES = 12_000  # locked for 60 ms
# Where fewer entries of the index than this lie between a profile and the next one of the advertiser, all of them are
# read in one walk; else each condition reads those that it needs of each profile.
WALKED_ENTRIES = 50
# Until then every process has heard of a new version, and its batches keep it true.
HEARD_AFTER = timedelta(seconds=3)
# Any number that no other advisory lock of ours has.
_ONE_BUILDER = 0xB11D
# To compile a large rule to machine code would take longer than a chunk runs. A server that dies may lose the last
# chunks, and with each of them that it was done; the switch waits for its disk, and that for all before it.
_SETTINGS = "SELECT set_config('jit', 'off', TRUE), set_config('synchronous_commit', 'off', TRUE)"
# The ids go back as they came: to make values of them, and an array of these, took a tenth of a build.
_CHUNK = """
    SELECT array_send(array_agg(id)) FROM (
        SELECT id FROM audience_profile WHERE advertiser_id = %s AND id > %s::uuid ORDER BY id LIMIT %s
        FOR NO KEY UPDATE
    ) locked
"""
_EVENTS = """
    SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audience_event'::regclass
"""
_KNOWN_ROWS = "SELECT reltuples FROM pg_class WHERE oid = 'segments_membership'::regclass"
_FIRST = UUID(int=0)

State = RuleVersion.State
Progress = Callable[[RuleVersion], None]


@dataclass(frozen=True)
class Built:
    """What was done: versions that serve now, and those that failed."""

    switched: int = 0
    failed: int = 0


def build(*, now: datetime | None = None, progress: Progress = lambda _: None) -> Built | None:
    """Build all that waits, and write anew what repeats where half of it is used; None where somebody is at it.

    `now` is for tests: the moment of every question, and of the switch.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_BUILDER])
        if not cursor.fetchone()[0]:
            return None
        try:
            return _build(now, progress)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_BUILDER])


def _build(now: datetime | None, progress: Progress) -> Built:
    follow_advertisers(now)
    switched = failed = 0
    heard = (now or timezone.now()) - (timedelta(0) if now else HEARD_AFTER)
    leads = RuleVersion.all_advertisers.filter(
        state=State.BUILDING, lead=None, created_at__lte=heard, stopped_at=None
    )
    for lead in leads.order_by("id"):
        group = [lead, *RuleVersion.all_advertisers.filter(lead=lead, state=State.BUILDING).order_by("id")]
        try:
            entries = _entries(group)
            if _walk_all(group, entries, now, progress):
                _look_at_members(lead)
                switched += switch(_in_order(group, entries), now)
        except (RuleRefused, Uncompilable, DataError, ProgrammingError) as error:
            _fail(group, error)
            failed += 1
    _refresh(now, progress)
    return Built(switched, failed)


def stop(version: RuleVersion, at: datetime | None = None) -> bool:
    """Let the building rest after the chunk that is under way; return whether it does. Facts keep true what is built.

    Versions that are built together rest together.
    """
    return _lead_of(version).filter(stopped_at=None).update(stopped_at=at or timezone.now()) == 1


def go_on(version: RuleVersion) -> bool:
    """Let the building go on where it was stopped; return whether it does."""
    return _lead_of(version).exclude(stopped_at=None).update(stopped_at=None) == 1


def _lead_of(version: RuleVersion) -> QuerySet[RuleVersion]:
    """Return the row, while it is being built, that tells how far a version is."""
    return RuleVersion.all_advertisers.filter(pk=version.lead_id or version.pk, state=State.BUILDING)


def _entries(group: list[RuleVersion]) -> list[Entry]:
    return sorted((entry_of(version) for version in group), key=lambda entry: entry.place)


def _in_order(group: list[RuleVersion], entries: list[Entry]) -> list[RuleVersion]:
    """A segment switches before those that use it."""
    places = {entry.ruled.segment_id: number for number, entry in enumerate(entries)}
    return sorted(group, key=lambda version: places[version.segment_id])


def _walk_all(group: list[RuleVersion], entries: list[Entry], now: datetime | None, progress: Progress) -> bool:
    """Ask rules about everybody: those about profiles, and about accounts, each run of them in the order of use.

    How far a run is stands in the row of the first of its versions.
    """
    versions = {version.segment_id: version for version in group}
    for _, run in groupby(entries, key=lambda entry: entry.ruled.of):
        some = list(run)
        if not _walk(versions[some[0].ruled.segment_id], some, Cause.EDIT, now, progress):
            return False
    return True


def _walk(version: RuleVersion, entries: list[Entry], cause: Cause, now: datetime | None, progress: Progress) -> bool:
    """Ask rules about all members from where the version has come; return whether the end is reached."""
    versions = RuleVersion.all_advertisers.filter(pk=version.pk)
    of = entries[0].ruled.of
    if version.built_to is None:
        total = MEMBERS[of].all_advertisers.filter(advertiser_id=version.advertiser_id).count()
        versions.update(profiles_total=total)
    is_crowd = _is_crowd(version)
    while True:
        with transaction.atomic():
            found = versions.filter(state=version.state, stopped_at=None, lead__stopped_at=None).first()
            if found is None:
                return False
            with batch_cursor(connection.connection) as cursor:
                cursor.execute(_SETTINGS)
                chunk = [found.advertiser_id, str(found.built_to or _FIRST), CHUNK_PROFILES]
                cursor.execute(about(of, _CHUNK), chunk)
                ((sent,),) = cursor.fetchall()
                if sent is None:
                    return True
                members = Uuids(sent)
                asked = [_ask(entry, members, cause, is_crowd=is_crowd) for entry in entries]
                speak(cursor, evaluate(asked, instant(now or timezone.now())))
            found.built_to = UUID(bytes=members.last)
            found.profiles_done += members.number
            # No `save()`, of which every process would be told.
            versions.update(built_to=found.built_to, profiles_done=found.profiles_done)
            crash_point("rule.chunk")
        progress(found)


def _ask(entry: Entry, ids: Uuids, cause: Cause, *, is_crowd: bool) -> Asked | AskedOfCrowd:
    """Ask a rule about the members of a chunk: about all at once, where they are a crowd and it can be."""
    if is_crowd and entry.ruled.compiled.crowded is not None:
        return AskedOfCrowd(entry.ruled, ids, cause, entry.place)
    return Asked(entry.ruled, dict.fromkeys(ids.elements(), Because(cause)), entry.place)


def _is_crowd(version: RuleVersion) -> bool:
    """Say whether the events that lie between the advertiser's are few."""
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS)
        (events,) = cursor.fetchone()
    version.refresh_from_db(fields=["profiles_total"])
    return bool(events <= WALKED_ENTRIES * version.profiles_total)


def _look_at_members(version: RuleVersion) -> None:
    """Let PostgreSQL count the members anew where it may know of fewer than were just made.

    Else the first switch of an installation looks for each of them among all: measured, a minute for 26,000, in which
    facts wait.
    """
    version.refresh_from_db(fields=["profiles_done"])
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN_ROWS)
        if cursor.fetchone()[0] < version.profiles_done:
            cursor.execute("ANALYZE segments_membership")


def _fail(group: list[RuleVersion], error: Exception) -> None:
    """The version that serves goes on to do so."""
    log.error("rule_not_built", segment=group[0].segment_id, version=group[0].number, error=str(error))
    ids = [version.pk for version in group]
    RuleVersion.all_advertisers.filter(pk__in=ids, state=State.BUILDING).update(
        state=State.FAILED, failure=str(error)[:1000]
    )


def _refresh(now: datetime | None, progress: Progress) -> None:
    """Ask those rules again whose timelines are written out up to a horizon, when half of it is used."""
    due = RuleVersion.all_advertisers.filter(
        state=State.ACTIVE, refresh_at__lte=now or timezone.now(), segment__is_active=True, segment__deleted_at=None
    )
    for version in due.order_by("id"):
        entry = entry_of(version)
        begun = now or timezone.now()
        RuleVersion.all_advertisers.filter(pk=version.pk).update(built_to=None, profiles_done=0)
        version.refresh_from_db()
        horizon = entry.ruled.compiled.horizon
        if _walk(version, [entry], Cause.TIME, now, progress):
            RuleVersion.all_advertisers.filter(pk=version.pk).update(
                refresh_at=None if horizon is None else begun + horizon / 2
            )


def drop_superseded(*, most: int = 20_000) -> int:
    """Delete the rows of versions that serve no more; return how many."""
    dropped = 0
    superseded = RuleVersion.all_advertisers.filter(state__in=[State.SUPERSEDED, State.FAILED])
    for version in superseded.select_related("segment"):
        of = of_segment(version.segment)
        rows = MEMBERSHIPS[of].all_advertisers.filter(segment_id=version.segment_id, version=version.number)
        while ids := list(rows.values_list(f"{of}_id", flat=True)[:most]):
            dropped += rows.filter(**{f"{of}_id__in": ids}).delete()[0]
    return dropped
