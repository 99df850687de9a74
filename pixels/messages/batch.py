"""The messages of a batch: recorded by the audience, and counted in the same transaction (safety.md R4).

Each arrival leaves its id. So one that a spool or a lost answer brings again is neither recorded nor counted twice,
while a message that its client sends twice is counted as a duplicate.
"""

from collections import Counter
from collections.abc import Sequence

from audience.columns import Column, bigints, instants, integers, texts, uuids
from audience.instants import HOUR
from audience.recording import record
from audience.talk import Talk, reads, writes
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.errors import MessageError
from pixels.reasons import Outcome

_ARRIVE = reads(
    """
    INSERT INTO pixels_factid (id, received_at) SELECT * FROM unnest(%s::uuid[], %s::timestamptz[])
    ON CONFLICT DO NOTHING RETURNING id
    """
)
_COUNT = writes(
    """
    INSERT INTO pixels_messagedelta (advertiser_id, source_id, hour, outcome, error, messages)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::integer[])
    """
)


def keep(arrivals: Sequence[Arrival]) -> Talk[list[Kept]]:
    """Record what is good, count everything; return how each ended. An arrival that is known is left out."""
    kept = [kept_of(arrival) for arrival in arrivals]
    if not kept:
        return kept
    new = yield from _arrive(kept)
    good = [(one, message) for one in new if (message := one.arrival.message) is not None]
    recorded = yield from record([message for _, message in good])
    for (one, _), end in zip(good, recorded, strict=True):
        one.outcome = Outcome(end.outcome)
        one.error = MessageError(end.reason) if end.reason else None
        one.joined, one.left = end.moves
    if new:
        yield [_COUNT(*_count_columns(new))]
    return kept


def count(arrival: Arrival) -> Talk[Kept]:
    """Count a message of which nothing can be kept: the database refuses what is in it."""
    kept = refused(arrival)
    new = yield from _arrive([kept])
    if new:
        yield [_COUNT(*_count_columns(new))]
    return kept


def refused(arrival: Arrival) -> Kept:
    """Return a message as one that the database refuses."""
    return kept_of(arrival._replace(message=None, error=arrival.error or MessageError.TOO_LARGE))


def kept_of(arrival: Arrival) -> Kept:
    """Return an arrival as it begins its way: applied, unless it is refused."""
    if arrival.error is not None:
        return Kept(arrival, Outcome.REJECTED, arrival.error)
    return Kept(arrival, Outcome.APPLIED)


def _arrive(kept: Sequence[Kept]) -> Talk[list[Kept]]:
    """Return those that have never come before; the others are duplicates that nobody counts again."""
    by_id = sorted(kept, key=lambda one: one.arrival.id)  # in one order for all, so that none waits for another
    ids, times = zip(*[(one.arrival.id, one.arrival.received_at) for one in by_id], strict=True)
    (rows,) = yield [_ARRIVE(uuids(ids), instants(times))]
    new = {arrival_id for (arrival_id,) in rows}
    for one in kept:
        if one.arrival.id not in new and one.outcome is Outcome.APPLIED:
            one.outcome = Outcome.DUPLICATE
    return [one for one in kept if one.arrival.id in new]


def _count_columns(kept: Sequence[Kept]) -> list[Column | str]:
    counts = Counter(
        (
            one.arrival.advertiser_id,
            one.arrival.key_id,
            one.arrival.received_at - one.arrival.received_at % HOUR,
            str(one.outcome),
            str(one.error or ""),
        )
        for one in kept
    )
    advertisers, keys, hours, outcomes, errors = zip(*counts, strict=True)
    return [
        bigints(advertisers),
        bigints(keys),
        instants(hours),
        texts(outcomes),
        texts(errors),
        integers(list(counts.values())),
    ]
