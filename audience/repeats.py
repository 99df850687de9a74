"""Which facts have come before: each sender's own id counts once in 8 days (pixels.md 1.12, 4.2)."""

from collections.abc import Sequence

from audience.columns import instants, uuids
from audience.instants import HOUR, Instant
from audience.talk import Talk, reads

REMEMBERED_DAYS = 8
_DAY = 24 * HOUR

# Whoever stores the same fact at this moment is waited for by the key. Across midnight the keys differ: two that come
# in that very moment are both applied, and change nothing twice: events have their own key.
_REMEMBER = reads(
    """
    INSERT INTO audience_messageid (id, day)
    SELECT a.id, a.day FROM unnest(%s::uuid[], %s::timestamptz[]) AS a(id, day)
    WHERE NOT EXISTS (
        SELECT FROM audience_messageid m WHERE m.id = a.id AND m.day >= (%s::timestamptz[])[1]
    )
    ORDER BY a.id ON CONFLICT DO NOTHING RETURNING id
    """
)


def remember(facts: Sequence[tuple[bytes, Instant]]) -> Talk[list[bool]]:
    """Return for each fact, an id and its receipt, whether it is new; it is remembered from now on."""
    if not facts:
        return []
    days: dict[bytes, Instant] = {}
    for id_, received_at in facts:
        days.setdefault(id_, received_at - received_at % _DAY)
    oldest = min(days.values()) - REMEMBERED_DAYS * _DAY
    (rows,) = yield [_REMEMBER(uuids(list(days)), instants(list(days.values())), instants([oldest]))]
    new = {id_ for (id_,) in rows}
    answers = []
    for id_, _ in facts:
        answers.append(id_ in new)
        new.discard(id_)
    return answers
