"""The names that attributes have: an advertiser has room for some of profiles, and for as many of accounts."""

from collections.abc import Sequence, Set
from typing import Any

from audience.columns import bigints, instants, texts
from audience.instants import Instant
from audience.talk import Talk, reads, writes

# A name: the advertiser, of profiles or of accounts, and the name itself.
Name = tuple[int, str, str]

_KNOWN = reads(
    """
    SELECT k.advertiser_id, k.of, k.name
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS k(advertiser_id, of, name)
    JOIN audience_attributename n ON n.advertiser_id = k.advertiser_id AND n.of = k.of AND n.name = k.name
    """
)
# New names of one advertiser come one batch after the other, so that there are never more than the limit.
_LOCK_ADVERTISERS = reads(
    "SELECT id FROM audience_advertiser WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
)
_COUNT = reads(
    """
    SELECT advertiser_id, of, count(*) FROM audience_attributename WHERE advertiser_id = ANY(%s::bigint[])
    GROUP BY advertiser_id, of
    """
)
_MAKE = writes(
    """
    INSERT INTO audience_attributename (advertiser_id, of, name, first_at)
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[]) ON CONFLICT DO NOTHING
    """
)


def refuse(names: Set[Name], at: Instant, *, most: int) -> Talk[set[Name]]:
    """Return the names for which an advertiser has no room any more; the other new ones are made."""
    if not names:
        return set()
    known = _KNOWN(*_columns(sorted(names)))
    (rows,) = yield [known]
    if len(rows) == len(names):
        return set()
    owners = bigints(sorted({advertiser for advertiser, _, _ in names - set(rows)}))
    _, rows, counts = yield [_LOCK_ADVERTISERS(owners), known, _COUNT(owners)]
    room = {(advertiser, of): most - count for advertiser, of, count in counts}
    made: list[Name] = []
    refused: set[Name] = set()
    for name in sorted(names - set(rows)):
        left = room.get(name[:2], most)
        if left <= 0:
            refused.add(name)
        else:
            room[name[:2]] = left - 1
            made.append(name)
    if made:
        yield [_MAKE(*_columns(made), instants([at] * len(made)))]
    return refused


def _columns(names: Sequence[Name]) -> list[Any]:
    advertisers, ofs, words = zip(*names, strict=True)
    return [bigints(advertisers), texts(ofs), texts(words)]
