"""How fresh a rule segment is: what serves, what is being built, and how far time is behind (rules.md 2.16)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from segments.models import RuleVersion, Segment
from segments.ranges import FOREVER
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import Uncompilable, compile_rule
from segments.rules.tree import Of
from segments.statements import TooSlow, reading_for
from segments.surroundings import rule_of, surroundings_of
from segments.tables import about, of_segment

# The next change of one segment has no index of its own: it is told where it is found in this time.
NEXT_CHANGE_SECONDS = 0.3
State = RuleVersion.State

# Needs `membership_due`. The sweeper takes what is due in this order, whosesoever it is.
_OLDEST_DUE = "SELECT sweep_at FROM segments_membership WHERE sweep_at <= %s ORDER BY sweep_at LIMIT 1"
_NEXT_CHANGE = """
    SELECT min(at) FROM (
        SELECT CASE WHEN starts_at <= %(now)s THEN expires_at ELSE starts_at END AS at FROM segments_membership
        WHERE segment_id = %(segment)s AND version = %(version)s AND sweep_at IS NOT NULL
    ) m WHERE at > %(now)s AND at < %(before)s
"""


@dataclass(frozen=True)
class Freshness:
    """The versions that matter now. `failed` is the newest one, where it could not be built.

    `broken` says why the serving rule takes nobody in any more. `behind` delays transitions, never reads.
    """

    serving: RuleVersion | None
    building: RuleVersion | None
    failed: RuleVersion | None
    broken: str
    behind: timedelta
    next_change: datetime | None

    @property
    def shown(self) -> RuleVersion | None:
        """Return the version whose rule stands for the segment: what serves, else what is to serve."""
        return self.serving or self.building or self.failed

    @property
    def progress(self) -> RuleVersion | None:
        """Return the version that tells how far the building is: one that is built with others, by its lead."""
        return self.building and (self.building.lead or self.building)


def freshness_of(segment: Segment, now: datetime) -> Freshness:
    """Return how fresh a segment of the kind `rule` is."""
    versions = RuleVersion.all_advertisers.filter(segment=segment).select_related("lead__segment", "author")
    by_state = {version.state: version for version in versions.filter(state__in=[State.ACTIVE, State.BUILDING])}
    newest = versions.order_by("-number").first()
    serving = by_state.get(State.ACTIVE)
    return Freshness(
        serving=serving,
        building=by_state.get(State.BUILDING),
        failed=newest if newest is not None and newest.state == State.FAILED else None,
        broken=_why_broken(serving),
        behind=_behind(of_segment(segment), now),
        next_change=_next_change(of_segment(segment), serving, now) if serving else None,
    )


def _why_broken(serving: RuleVersion | None) -> str:
    """Return why a rule that served cannot be asked any more: what it names is gone, or it is of another Muster."""
    if serving is None:
        return ""
    try:
        compile_rule(rule_of(serving.rule), surroundings_of(serving.advertiser_id))
    except (RuleRefused, Uncompilable) as error:
        return str(error)
    return ""


def _behind(of: Of, now: datetime) -> timedelta:
    with connection.cursor() as cursor:
        cursor.execute(about(of, _OLDEST_DUE), [now])
        row = cursor.fetchone()
    return now - row[0] if row else timedelta(0)


def _next_change(of: Of, serving: RuleVersion, now: datetime) -> datetime | None:
    """Return when time changes the segment next; None where nothing is known to, or it was not found in time.

    An end that lies for ever ahead is no change, nor is the horizon up to which what repeats is written out: that
    lies beyond the time to write it out anew.
    """
    try:
        with reading_for(NEXT_CHANGE_SECONDS) as cursor:
            keys = {"segment": serving.segment_id, "version": serving.number}
            cursor.execute(about(of, _NEXT_CHANGE), {"now": now, "before": serving.refresh_at or FOREVER, **keys})
            (found,) = cursor.fetchone()
    except TooSlow:
        return None
    return found if isinstance(found, datetime) else None
