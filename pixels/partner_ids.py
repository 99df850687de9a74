"""The ids that partners give to browsers (pixels.md 1.9): linked where they are free, refused where another has them.

Promise: an id that leads to one profile never comes to lead to another one, and nothing is merged. Signed requests
(1.5) will move ids; there are no signing keys yet.

Identifiers are made before their profiles are locked, as `audience.identity` wants it. So fires that bring such ids
are stored apart from other fires, which take all their locks at once.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audience import metrics
from audience.columns import batch_cursor, uuids
from audience.identity import Key, Known, ProfileGone, check_locked, give, locate, lock, make, see
from audience.instants import instant
from audience.news import Changed, Happened, tell
from audience.talk import Talk, reads, speak
from pixels.reasons import Outcome, Reason
from pixels.stored import Stored

log = structlog.get_logger(__name__)

PREFIX = "partner:"
KEPT = timedelta(days=180)
BATCH_IDS = 5_000

# Needs the index on `profile_id`.
_COUNT = reads(
    """
    SELECT profile_id, count(*)::int FROM audience_identifier WHERE profile_id = ANY(%s::uuid[]) GROUP BY profile_id
    """
)


@dataclass(slots=True)
class _Claims:
    """Who gets which id: whoever has it, else the first who asks. A browser without a profile stands for itself."""

    people: Mapping[Key, Known]
    sizes: Counter[bytes | Key]  # identifiers by profile
    holders: dict[Key, bytes | Key] = field(default_factory=dict)
    new: dict[Key, Key] = field(default_factory=dict)  # id -> the browser that it comes to lead to
    crowded: set[bytes | Key] = field(default_factory=set)

    def owner(self, browser: Key) -> bytes | Key:
        known = self.people.get(browser)
        return browser if known is None else known.profile_id

    def take(self, partner_id: Key, browser: Key) -> bool:
        """Say whether an id leads to this browser's profile, or does from now on."""
        owner = self.owner(browser)
        known = self.people.get(partner_id)
        holder = self.holders.get(partner_id) if known is None else known.profile_id
        if holder is not None:
            return holder == owner
        if self.sizes[owner] >= settings.MUSTER_IDENTIFIERS_PER_PROFILE:
            self.crowded.add(owner)
            return True  # nobody else's, and kept for nobody
        self.sizes[owner] += 1
        self.holders[partner_id] = owner
        self.new[partner_id] = browser
        return True


def link_partner_ids(entries: Sequence[Stored]) -> Talk[list[Changed]]:
    """Let the ids lead to the profiles of their browsers, which are locked then; refuse those of other profiles.

    Return what has become known of the profiles. Raises `ProfileGone` where somebody else has changed meanwhile whose
    they are.
    """
    asked = [
        (entry, browser)
        for entry in entries
        if entry.outcome is Outcome.APPLIED and (browser := entry.fire.browser) is not None
    ]
    if not asked:
        return []
    now = max([entry.fire.received_at for entry, _ in asked])
    wanted = {key for entry, browser in asked for key in (browser, *entry.fire.partner_ids)}
    people = yield from locate(wanted)
    claims = _Claims(people, (yield from _sizes(people, [browser for _, browser in asked])))
    staying = {browser for entry, browser in asked if _claim(entry, browser, claims)}

    made = yield from make(staying - people.keys(), now)
    people |= made
    given = yield from give({key: people[browser].profile_id for key, browser in claims.new.items()}, now)
    if len(given) < len(claims.new):
        raise ProfileGone(claims.new.keys() - given)
    people |= {key: Known(people[browser].profile_id, now) for key, browser in claims.new.items()}
    profiles = {people[browser].profile_id for browser in staying}
    ours = {key: people[key] for key in wanted & people.keys() if people[key].profile_id in profiles}
    check_locked(ours, *(yield lock(ours)))
    yield from see(ours, now)
    _alarm(claims)
    kinds: dict[Key, set[str]] = {browser: {browser.kind} for browser in made}
    for key, browser in claims.new.items():
        kinds.setdefault(browser, set()).add(key.kind)
    return [
        Changed(browser.advertiser_id, people[browser].profile_id, kinds=some, is_new=browser in made)
        for browser, some in kinds.items()
    ]


def _sizes(people: Mapping[Key, Known], browsers: Sequence[Key]) -> Talk[Counter[bytes | Key]]:
    profiles = {people[browser].profile_id for browser in browsers if browser in people}
    if not profiles:
        return Counter()
    (rows,) = yield [_COUNT(uuids(sorted(profiles)))]
    return Counter(dict(rows))


def _claim(entry: Stored, browser: Key, claims: _Claims) -> bool:
    """Claim the ids of a fire; where nothing of it can be done, it is rejected and needs no profile."""
    fire = entry.fire
    taken = [key for key in fire.partner_ids if not claims.take(key, browser)]
    if not taken:
        return True
    entry.fire = fire._replace(actions=_refused(fire.actions, fire.partner_ids, taken))
    if len(taken) < len(fire.partner_ids) or fire.changes:
        return True
    entry.outcome, entry.reason = Outcome.REJECTED, Reason.PARTNER_ID_TAKEN
    return False


def _refused(actions: str, ids: Sequence[Key], taken: Sequence[Key]) -> str:
    """Mark in the live view's actions, of which those of the ids come first, which of them are refused."""
    shown = json.loads(actions)
    for action, key in zip(shown, ids, strict=False):
        if key in taken:
            action["reason"] = Reason.PARTNER_ID_TAKEN
    return json.dumps(shown)


def _alarm(claims: _Claims) -> None:
    """Say that ids were not kept because a profile has so many."""
    for profile in claims.crowded:
        if isinstance(profile, bytes):
            log.warning("shared_identifier", profile=str(UUID(bytes=profile)))
    if claims.crowded:
        metrics.count_shared_identifiers(len(claims.crowded))


# Read by the primary key, batch after batch: an index on when they were seen would turn each note of that, for every
# browser, into a new entry of every index.
_OLD = """
    SELECT id, profile_id FROM audience_identifier
    WHERE id > %(after)s AND kind LIKE 'partner:%%' AND last_seen_at < %(before)s ORDER BY id LIMIT %(most)s
"""
_LOCK = "SELECT FROM audience_profile WHERE id = ANY(%(profiles)s) ORDER BY id FOR NO KEY UPDATE"
_FORGET = """
    DELETE FROM audience_identifier WHERE id = ANY(%(ids)s) AND last_seen_at < %(before)s
    RETURNING advertiser_id, profile_id, kind
"""


def forget_partner_ids(now: datetime | None = None) -> int:
    """Drop the ids that no partner has sent for 180 days; return how many."""
    now = now or timezone.now()
    before, after, forgotten = now - KEPT, UUID(int=0), 0
    while True:
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            cursor.execute(_OLD, {"after": after, "before": before, "most": BATCH_IDS})
            rows = cursor.fetchall()
            ids, profiles = [UUID(bytes=row[0]) for row in rows], sorted({UUID(bytes=row[1]) for row in rows})
            cursor.execute(_LOCK, {"profiles": profiles})
            cursor.execute(_FORGET, {"ids": ids, "before": before})
            lost = cursor.fetchall()
            forgotten += len(lost)
            changed = [Changed(advertiser_id, profile, kinds=[kind]) for advertiser_id, profile, kind in lost]
            speak(cursor, tell(Happened(instant(now), changed=changed)))
        if len(ids) < BATCH_IDS:
            return forgotten
        after = ids[-1]
