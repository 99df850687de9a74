"""One batch of facts in one transaction: a list of steps, each takes the batch and leaves its mark on it."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from enum import Enum, auto
from itertools import compress
from typing import NamedTuple

from audience import cart
from audience.columns import bigints, instants, uuids
from audience.events import Fact as OfProfile
from audience.events import append
from audience.identity import Key, Known, check_locked, is_to_be_seen, locate, lock, make, see
from audience.instants import HOUR, Instant
from audience.memory import Memory
from audience.messages import Message
from audience.news import Changed, Happened
from audience.talk import Talk, reads, writes
from pixels.facts import Fact, Fire, Withdrawal
from pixels.idsyncs import note_id_syncs
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.batch import keep, kept_of
from pixels.once import drop_of_servers, drop_repeated_orders
from pixels.partner_ids import link_partner_ids
from pixels.reasons import SUPPRESSING, Outcome
from pixels.stored import Stored
from pixels.writing import put_fires
from segments import renewals
from segments.changes import Asked, DayOf, Intervals, count_loads, fold, read, rows_of, write
from segments.renewals import Renewals
from segments.waking import wake, wakes_any
from segments.withdrawal import withdraw

EVENT_ID_MEMORY = 24 * HOUR


class Repeats(Enum):
    """What becomes of fires that are stored already, under the same id.

    UNCHECKED: nobody looks, and the batch fails with a `UniqueViolation`. COUNTED: each is a duplicate (a proxy has
    sent its request twice). LEFT_OUT: nothing of it is done or counted again (it is read from a spool or a log once
    more).
    """

    UNCHECKED = auto()
    COUNTED = auto()
    LEFT_OUT = auto()


class DoorMemory:
    """What a door knows of people and of their memberships."""

    def __init__(self, most: int) -> None:
        self.people: Memory[Key, Known] = Memory(most)
        self.renewals = Renewals(most)

    def keep(self, done: "Done") -> None:
        """Keep what a batch has met and written; call it when that is committed."""
        self.people.keep(done.met)
        self.renewals.keep(done.rows)

    def doubt(self, facts: Sequence[Fact]) -> None:
        """Forget what is known of the people of a batch: somebody else has changed some of it."""
        fires = [fact for fact in facts if isinstance(fact, Fire)]
        browsers = {fire.browser for fire in fires if fire.browser is not None}
        known = self.people.recall(browsers)
        self.renewals.doubt(
            {
                (known[fire.browser].profile_id, change.segment_id, change.version)
                for fire in fires
                if fire.browser in known
                for change in fire.changes
            }
        )
        self.people.forget(browsers)


# A no without a fire ends as itself: there is nothing more to say of it.
Ended = Stored | Kept | Withdrawal


class Done(NamedTuple):
    """What a batch did: how each fact ended, and what to keep in memory once it is committed."""

    stored: list[Ended]
    met: Mapping[Key, Known] = {}
    rows: Intervals = {}


def store(
    facts: Sequence[Fact], day_of: DayOf, memory: DoorMemory, repeats: Repeats = Repeats.UNCHECKED
) -> Talk[Done]:
    """Store a batch, all of it of one kind (`turn_of`), in one transaction.

    Not of several: each has an order of its own in which it takes its locks. Raises `ProfileGone` or
    `RowsChanged` where `memory` knew what is no longer so; then nothing of the batch may be committed.
    """
    arrivals = [fact for fact in facts if isinstance(fact, Arrival)]
    if arrivals:
        return Done([*(yield from keep(arrivals))])
    withdrawals = [fact for fact in facts if isinstance(fact, Withdrawal)]
    if withdrawals:
        return (yield from store_withdrawals(withdrawals, day_of, memory, repeats))
    return (yield from store_fires([fact for fact in facts if isinstance(fact, Fire)], day_of, memory, repeats))


KINDS = 4


def turn_of(fact: Fact) -> int:
    """Return the number of a fact's kind: those of one kind may be stored together, and the kinds in this order.

    What a browser fired before its no is done before it.
    """
    if isinstance(fact, Fire):
        return 1 if fact.partner_ids else 0
    return 2 if isinstance(fact, Arrival) else 3


def store_fires(fires: Sequence[Fire], day_of: DayOf, memory: DoorMemory, repeats: Repeats) -> Talk[Done]:
    """Store the fires of a batch."""
    entries = [entry_of(fire) for fire in fires]
    if not entries:
        return Done([])
    if repeats is not Repeats.UNCHECKED:
        yield from mark_repeats(entries)
    yield from drop_duplicates(entries)
    linked: Sequence[Changed] = ()
    if fires[0].partner_ids:  # then all of them have some
        linked = yield from link_partner_ids(entries)
    yield from drop_of_servers(entries)
    yield from drop_repeated_orders(entries)
    met, rows = yield from put_changes(entries, linked, day_of, memory)
    yield from note_id_syncs(entries)
    yield from put_fires(entries, counts_repeats=repeats is Repeats.COUNTED)
    return Done([*entries], met, rows)


def store_withdrawals(
    withdrawals: Sequence[Withdrawal], day_of: DayOf, memory: DoorMemory, repeats: Repeats
) -> Talk[Done]:
    """Count the fires that came with a no, and end what is held of their browsers."""
    fires = [one.fire for one in withdrawals if one.fire is not None]
    done = yield from store_fires(fires, day_of, memory, repeats)
    yield from withdraw({key: one.received_at for one in withdrawals for key in one.keys}, day_of)
    stored = iter(done.stored)
    return Done([one if one.fire is None else next(stored) for one in withdrawals])


def entry_of(fire: Fire) -> Stored:
    """Return a fire as it begins its way: applied, unless a reason says otherwise."""
    reason = fire.reason
    outcome = Outcome.APPLIED
    if reason is not None:
        outcome = Outcome.SUPPRESSED if reason in SUPPRESSING else Outcome.REJECTED
    return Stored(fire, outcome, reason, fire.notes)


_STORED = reads(
    """
    SELECT f.id FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[]) a (pixel_id, received_at, id)
    JOIN pixels_fire f ON f.pixel_id = a.pixel_id AND f.received_at = a.received_at AND f.id = a.id
    UNION ALL
    SELECT f.id FROM unnest(%s::timestamptz[], %s::uuid[]) a (received_at, id)
    JOIN pixels_factid f ON f.received_at = a.received_at AND f.id = a.id
    """
)


def mark_repeats(entries: Sequence[Stored]) -> Talk[None]:
    """Mark the fires that are stored already, and those that come twice in this batch.

    One that another worker is storing at this moment is not seen: then the batch fails on its key, and is tried
    again.
    """
    fires = [entry.fire for entry in entries]
    times, ids = instants([fire.received_at for fire in fires]), uuids([fire.id for fire in fires])
    (rows,) = yield [_STORED(bigints([fire.pixel_id for fire in fires]), times, ids, times, ids)]
    known = {fire_id for (fire_id,) in rows}
    for entry in entries:
        if entry.fire.id in known:
            entry.is_repeat, entry.outcome, entry.reason = True, Outcome.DUPLICATE, None
        known.add(entry.fire.id)


# The lock makes two workers with the same eid wait for each other; a partitioned table cannot keep it unique by time.
_LOCK_EVENT_IDS = writes("SELECT pg_advisory_xact_lock(k) FROM (SELECT unnest(%s::bigint[]) AS k ORDER BY 1) keys")
_SEEN_EVENT_IDS = reads(
    """
    SELECT id, max(seen_at) FROM pixels_eventid
    WHERE id = ANY(%s::uuid[]) AND seen_at > (%s::timestamptz[])[1] GROUP BY id
    """
)
_REMEMBER_EVENT_IDS = writes(
    """
    INSERT INTO pixels_eventid (id, seen_at) SELECT * FROM unnest(%s::uuid[], %s::timestamptz[])
    ON CONFLICT DO NOTHING
    """
)


def drop_duplicates(entries: Sequence[Stored]) -> Talk[None]:
    """Mark the fires whose `eid` the same browser has fired within 24 hours."""
    marked = [
        (entry, event_id(entry.fire))
        for entry in entries
        if entry.fire.eid and entry.fire.browser and not entry.is_repeat
    ]
    if not marked:
        return
    ids = list({id_ for _, id_ in marked})
    oldest = min(entry.fire.received_at for entry, _ in marked) - EVENT_ID_MEMORY
    locks = bigints([int.from_bytes(id_[:4]) for id_ in ids])
    (rows,) = yield [_LOCK_EVENT_IDS(locks), _SEEN_EVENT_IDS(uuids(ids), instants([oldest]))]
    seen: dict[bytes, Instant] = dict(rows)
    new: dict[bytes, Instant] = {}
    for entry, id_ in marked:
        at = entry.fire.received_at
        if id_ in seen and seen[id_] > at - EVENT_ID_MEMORY:
            entry.outcome, entry.reason = Outcome.DUPLICATE, None
        elif entry.outcome == Outcome.APPLIED:
            seen[id_] = new[id_] = at
    if new:
        yield [_REMEMBER_EVENT_IDS(uuids(list(new)), instants(list(new.values())))]


def event_id(fire: Fire) -> bytes:
    """Return the key of an `eid`: it means something for one advertiser and one browser only."""
    browser = fire.browser.value if fire.browser else ""
    return hashlib.sha256(f"{fire.advertiser_id}\0{browser}\0{fire.eid}".encode()).digest()[:16]


def put_changes(
    entries: Sequence[Stored], linked: Sequence[Changed], day_of: DayOf, memory: DoorMemory
) -> Talk[tuple[Mapping[Key, Known], Intervals]]:
    """Apply what the fires add, remove and record, to profiles that are found or made; other fires make none.

    `linked` is what partners' ids have changed of these profiles. Return the people of whom the memory does not know
    this, and the rows that were written.
    """
    applied = [
        (entry, browser)
        for entry in entries
        if entry.outcome is Outcome.APPLIED and (browser := entry.fire.browser) is not None
    ]
    if not applied:
        return {}, {}
    now = max([entry.fire.received_at for entry, _ in applied])
    keys = {key for _, key in applied}
    people = memory.people.recall(keys)
    met = yield from locate(keys - people.keys())
    made = yield from make(keys - people.keys() - met.keys(), now)
    met |= made
    people |= met
    asked: list[Asked] = []
    askers: list[Stored] = []
    for entry, key in applied:
        fire = entry.fire
        at = fire.received_at if fire.server is None else fire.server.at
        profile_id = entry.profile_id = people[key].profile_id
        for change in fire.changes:
            asked.append(Asked.of(key.advertiser_id, profile_id, change, at, fire.id))
            askers.append(entry)
    recording = [entry for entry, _ in applied if entry.fire.conversion is not None]
    written = {entry.profile_id for entry in recording}
    losses = {
        one.profile_id: one.losses
        for one in people.values()
        if one.losses is not None and not is_to_be_seen(one, now) and one.profile_id not in written
    }
    # Rules are asked under the profile's lock, with which a renewal does without.
    does_wake = wakes_any((one.advertiser_id, one.change.segment_id) for one in asked)
    renewed = {} if does_wake else memory.renewals.of(asked, losses, day_of)
    again = [one for one in asked if one.key in renewed]
    left = [one for one in asked if one.key not in renewed] if len(again) < len(asked) else []
    rows, seen = yield from _lock_others(people, left, again, written, now)
    outcome = fold(rows, left, day_of)
    if again:
        count_loads(outcome.tallies, again, day_of)
        yield [renewals.renew(again, losses)]
    yield write(outcome)
    recorded = [_event_of(entry) for entry in recording]
    if recorded:
        yield from append(recorded)
        yield from cart.keep(cart.touched(recorded))
    if does_wake or made or recorded or linked:
        yield from _wake(asked, made, linked, recorded, now)
    asking = compress(askers, [one.key not in renewed for one in asked])
    for entry, one, decision in zip(asking, left, outcome.decisions, strict=True):
        if decision.notes:
            entry.notes += tuple(note for note in decision.notes if note not in entry.notes)
        if decision.steps and entry.fire.server is not None:
            entry.tell(one.key[1], decision.steps)
    return met | seen, outcome.rows | renewed


def _event_of(entry: Stored) -> OfProfile:
    """Return what a fire records. It has the fire's id: however often the fire is stored, this is one event."""
    fire, conversion = entry.fire, entry.fire.conversion
    if conversion is None or entry.profile_id is None or fire.advertiser_id is None:
        raise ValueError("A fire that records an event is somebody's.")
    message = Message(
        id=fire.id,
        kind="track",
        advertiser_id=fire.advertiser_id,
        received_at=fire.received_at,
        occurred_at=fire.received_at if fire.server is None else fire.server.at,
        own=fire.browser,
        event=conversion.name,
        properties=conversion.properties,
        context=conversion.context,
    )
    return OfProfile(entry.profile_id, message)


def _lock_others(
    people: Mapping[Key, Known],
    left: Sequence[Asked],
    again: Sequence[Asked],
    written: Set[bytes | None],
    now: Instant,
) -> Talk[tuple[Intervals, dict[Key, Known]]]:
    """Lock those who are not only added `again`, and those `written` about; read their rows, note them as seen.

    Return the rows, and what has become known of the people.
    """
    if not left and not written:
        return {}, {}
    profiles = {one.key[0] for one in left} | written
    others = {key: known for key, known in people.items() if known.profile_id in profiles}
    # Sent together: PostgreSQL reads the rows when it has the locks.
    all_rows = [renewals.lock([*left, *again])] if again else []
    *locked, found = yield [*lock(others), *all_rows, read(left)]
    known = check_locked(others, *locked)
    return rows_of(found), known | (yield from see(others | known, now))


def _wake(
    asked: Sequence[Asked],
    made: Mapping[Key, Known],
    linked: Sequence[Changed],
    recorded: Sequence[OfProfile],
    now: Instant,
) -> Talk[None]:
    """Ask the rules that feel a batch: its segments, events and identifiers, and who is new."""
    new = [Changed(key.advertiser_id, known.profile_id, kinds=[key.kind], is_new=True) for key, known in made.items()]
    memberships = [(one.advertiser_id, one.key[0], one.change.segment_id) for one in asked]
    yield from wake(Happened(now, recorded, [*new, *linked]), memberships)


def pending(fact: Fact) -> Ended:
    """Return a fact that waits in the spool."""
    if isinstance(fact, Arrival):
        kept = kept_of(fact)
        return kept if kept.error is not None else Kept(fact, Outcome.PENDING)
    if isinstance(fact, Withdrawal):
        return fact if fact.fire is None else pending(fact.fire)
    return Stored(fact, Outcome.PENDING, None, fact.notes)
