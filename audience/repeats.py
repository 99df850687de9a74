"""Which facts have come before: each sender's own id counts once in 8 days (pixels.md 1.12, 4.2)."""

from collections.abc import Sequence
from typing import Any

from audience.columns import instants, uuids
from audience.instants import HOUR, Instant
from audience.talk import Statement, reads

REMEMBERED_DAYS = 8
_DAY = 24 * HOUR

# Whoever stores the same fact at this moment is waited for by the key. Across midnight the keys differ: two that come
# in that very moment are both applied, and change nothing twice: events have their own key. The partitions that are
# made ahead are not looked at: they hold nothing, but for what a clock of ours that is fast has put into tomorrow's.
_REMEMBER = reads(
    """
    INSERT INTO audience_messageid (id, day)
    SELECT a.id, a.day FROM unnest(%s::uuid[], %s::timestamptz[]) AS a(id, day)
    WHERE NOT EXISTS (
        SELECT FROM audience_messageid m WHERE m.id = a.id
            AND m.day BETWEEN (%s::timestamptz[])[1] AND now() + interval '1 day'
    )
    ORDER BY a.id ON CONFLICT DO NOTHING RETURNING id
    """
)


def remember(facts: Sequence[tuple[bytes, Instant]]) -> Statement:
    """Return the statement that remembers facts, each an id and its receipt, from now on; for `are_new`."""
    days: dict[bytes, Instant] = {}
    for id_, received_at in facts:
        days.setdefault(id_, received_at - received_at % _DAY)
    oldest = min(days.values()) - REMEMBERED_DAYS * _DAY
    return _REMEMBER(uuids(list(days)), instants(list(days.values())), instants([oldest]))


def are_new(facts: Sequence[tuple[bytes, Instant]], remembered: Sequence[tuple[Any, ...]] = ()) -> list[bool]:
    """Return for each fact whether it is new, by the rows of `remember`."""
    new = {id_ for (id_,) in remembered}
    answers = []
    for id_, _ in facts:
        answers.append(id_ in new)
        new.discard(id_)
    return answers
