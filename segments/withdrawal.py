"""A no reaches what is held: whoever withdraws is out of every segment at that instant (pixels.md 1.10)."""

from collections import defaultdict
from collections.abc import Mapping

from audience.columns import uuids
from audience.identity import Key
from audience.instants import Instant
from audience.news import Changed, Happened
from audience.talk import Rows, Talk, reads
from audience.unlinking import unlink
from segments.changes import DayOf, Outcome, Published, Tally, count_steps, write
from segments.evaluation import keep_from_switching
from segments.membership import Change, Interval, decide
from segments.models import Cause
from segments.waking import wake

# One range of the key per profile. Locked against renewals (`segments.renewals`).
_READ = reads(
    """
    SELECT m.profile_id, m.segment_id, m.version, m.starts_at, m.expires_at, m.value, m.last_added_at, m.decided_at,
        m.sweep_at, s.active_version
    FROM unnest(%s::uuid[]) AS k(profile_id) JOIN segments_membership m USING (profile_id)
    JOIN segments_segment s ON s.id = m.segment_id
    ORDER BY m.profile_id, m.segment_id, m.version FOR NO KEY UPDATE OF m
    """
)


def withdraw(keys: Mapping[Key, Instant], day_of: DayOf) -> Talk[None]:
    """Give identifiers up, each at an instant, and end the memberships of the profiles that they led to.

    Whoever is out by that is not asked about again by the same rule, whose facts are all still there.
    """
    now = max(keys.values(), default=0)
    profiles = yield from unlink(keys, now)
    if not profiles:
        return
    owners = {profile: key.advertiser_id for key, profile in profiles.items()}
    ends = {profile: keys[key] for key, profile in profiles.items()}
    (rows,) = yield [keep_from_switching(owners.values()), _READ(uuids(sorted(owners)))]
    outcome = _end(rows, owners, ends, day_of)
    if outcome.owners:
        yield write(outcome)
    lost = [Changed(key.advertiser_id, profile, kinds=[key.kind]) for key, profile in profiles.items()]
    ended = [(owner, profile, segment) for (profile, segment, _), owner in outcome.owners.items()]
    yield from wake(Happened(now, changed=lost), ended, are_out=True)


def _end(rows: Rows, owners: Mapping[bytes, int], ends: Mapping[bytes, Instant], day_of: DayOf) -> Outcome:
    """Return what becomes of the memberships that hold. A fact that has decided later does not save one."""
    outcome = Outcome([], {}, {}, [], defaultdict(Tally))
    for profile, segment, version, *state, active_version in rows:
        row, key = Interval._make(state), (profile, segment, version)
        end = max(ends[profile], row.decided_at)
        if not row.holds_at(end):
            continue
        decision = decide(row, Change("remove", segment, version, Cause.CONSENT), end)
        outcome.rows[key], outcome.owners[key] = decision.interval, owners[profile]
        if version == active_version:
            outcome.steps.extend(Published(owners[profile], key, step) for step in decision.steps)
    count_steps(outcome.tallies, outcome.steps, day_of)
    return outcome
