"""The messages of a batch: recorded by the audience, and counted in the same transaction (safety.md R4).

Each arrival leaves a row. So one that a spool or a lost answer brings again is neither recorded nor counted twice,
while a message that its client sends twice is counted as a duplicate.
"""

from collections import Counter
from collections.abc import Sequence

from audience.columns import Column, bigints, instants, integers, texts, uuids
from audience.instants import HOUR
from audience.recording import questions, record
from audience.talk import Rows, Statement, Talk, reads, writes
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.errors import MessageError
from pixels.reasons import Outcome

# A row is the memory of an arrival and what the live view shows of it; nobody sees it before the commit.
_ARRIVE = reads(
    """
    INSERT INTO pixels_arrivedmessage
        (source_id, received_at, id, advertiser_id, kind, event, page_host, outcome, error)
    SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[], %s::bigint[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING RETURNING id
    """
)
# What the audience said of it: most messages end as they began.
_END = writes(
    """
    UPDATE pixels_arrivedmessage m SET outcome = e.outcome, error = e.error
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[], %s::text[], %s::text[])
        AS e(source_id, received_at, id, outcome, error)
    WHERE m.source_id = e.source_id AND m.received_at = e.received_at AND m.id = e.id
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
    told = [message for arrival in arrivals if (message := arrival.message) is not None]
    rows, *answers = yield [_arrive(kept), *(questions(told) if told else [])]
    new = _new(kept, rows)
    good = [(one, message) for one in new if (message := one.arrival.message) is not None]
    recorded = yield from record([message for _, message in good], answers)
    for (one, _), end in zip(good, recorded, strict=True):
        one.outcome = Outcome(end.outcome)
        one.error = MessageError(end.reason) if end.reason else None
        one.joined, one.left = end.moves
    if changed := [one for one, _ in good if one.outcome is not Outcome.APPLIED]:
        yield [_END(*_key_columns(changed), *_end_columns(changed))]
    if new:
        yield [_COUNT(*_count_columns(new))]
    return kept


def count(arrival: Arrival) -> Talk[Kept]:
    """Count a message of which nothing can be kept: the database refuses what is in it."""
    kept = refused(arrival)
    (rows,) = yield [_arrive([kept])]
    if new := _new([kept], rows):
        yield [_COUNT(*_count_columns(new))]
    return kept


def refused(arrival: Arrival) -> Kept:
    """Return a message as one that the database refuses, with nothing of what it said."""
    error = arrival.error or MessageError.TOO_LARGE
    return kept_of(arrival._replace(message=None, error=error, event="", page_host=""))


def kept_of(arrival: Arrival) -> Kept:
    """Return an arrival as it begins its way: applied, unless it is refused or suppressed."""
    if arrival.error is not None:
        return Kept(arrival, Outcome.REJECTED, arrival.error)
    if arrival.suppressed is not None:
        return Kept(arrival, Outcome.SUPPRESSED)
    return Kept(arrival, Outcome.APPLIED)


def _arrive(kept: Sequence[Kept]) -> Statement:
    by_id = sorted(kept, key=lambda one: one.arrival.id)  # in one order for all, so that none waits for another
    arrivals = [one.arrival for one in by_id]
    return _ARRIVE(
        *_key_columns(by_id),
        bigints([arrival.advertiser_id for arrival in arrivals]),
        texts([arrival.kind for arrival in arrivals]),
        texts([arrival.event for arrival in arrivals]),
        texts([arrival.page_host for arrival in arrivals]),
        *_end_columns(by_id),
    )


def _new(kept: Sequence[Kept], rows: Rows) -> list[Kept]:
    """Return those that have never come before; the others are duplicates that nobody counts again."""
    new = {arrival_id for (arrival_id,) in rows}
    for one in kept:
        if one.arrival.id not in new and one.outcome is Outcome.APPLIED:
            one.outcome = Outcome.DUPLICATE
    return [one for one in kept if one.arrival.id in new]


def _key_columns(kept: Sequence[Kept]) -> list[Column]:
    return [
        bigints([one.arrival.key_id for one in kept]),
        instants([one.arrival.received_at for one in kept]),
        uuids([one.arrival.id for one in kept]),
    ]


def _end_columns(kept: Sequence[Kept]) -> list[str]:
    return [texts([str(one.outcome) for one in kept]), texts([str(one.error or "") for one in kept])]


def _count_columns(kept: Sequence[Kept]) -> list[Column | str]:
    counts = Counter(
        (
            one.arrival.advertiser_id,
            one.arrival.key_id,
            one.arrival.received_at - one.arrival.received_at % HOUR,
            str(one.outcome),
            str(one.reason or ""),
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
