"""One order counts once in 90 days: which conversions of a batch repeat an order that their pixel has recorded."""

import hashlib
from collections.abc import Sequence

from audience.columns import instants, integers, uuids
from audience.instants import HOUR, Instant
from audience.talk import Talk, reads, writes

MEMORY = 90 * 24 * HOUR

# As for event ids (`pixels.batch`), with locks of a class of their own.
_LOCK = writes("SELECT pg_advisory_xact_lock(1, k) FROM (SELECT unnest(%s::int[]) AS k ORDER BY 1) keys")
# One index descent per id and partition, of which there are five.
_SEEN = reads(
    """
    SELECT id, max(seen_at) FROM pixels_orderid
    WHERE id = ANY(%s::uuid[]) AND seen_at > (%s::timestamptz[])[1] GROUP BY id
    """
)
_REMEMBER = writes(
    """
    INSERT INTO pixels_orderid (id, seen_at) SELECT * FROM unnest(%s::uuid[], %s::timestamptz[])
    ON CONFLICT DO NOTHING
    """
)


def order_key(pixel_id: int | None, order_id: str) -> bytes:
    """Return the key of an order, 16 bytes: it means something for its pixel only."""
    return hashlib.sha256(f"{pixel_id}\0{order_id}".encode()).digest()[:16]


def remember_orders(orders: Sequence[tuple[bytes, Instant]]) -> Talk[list[bool]]:
    """Return for each order, a key and an instant, whether it is new; it is remembered from now on."""
    if not orders:
        return []
    keys = list({key for key, _ in orders})
    oldest = min(at for _, at in orders) - MEMORY
    locks = integers([int.from_bytes(key[:4], signed=True) for key in keys])
    (rows,) = yield [_LOCK(locks), _SEEN(uuids(keys), instants([oldest]))]
    seen: dict[bytes, Instant] = dict(rows)
    new: dict[bytes, Instant] = {}
    answers = []
    for key, at in orders:
        is_new = key not in seen or seen[key] <= at - MEMORY
        if is_new:
            seen[key] = new[key] = at
        answers.append(is_new)
    if new:
        yield [_REMEMBER(uuids(list(new)), instants(list(new.values())))]
    return answers
