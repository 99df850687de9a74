"""A fixed random part of an advertiser's people or companies, by which rules are previewed (rules.md 2.14).

It is the bucket with the salt `muster-sample` that holds as many as are wanted: those with the lowest share numbers.
The order is by that number too, so that the first thousand are a random part as well.
"""

from time import monotonic
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from segments.rules.tree import Of
from segments.statements import reading_for

SALT = "muster-sample"
# Reading the keys of millions takes a second: whoever types gets the sample of a moment ago.
KEPT_SECONDS = 300
KEPT_SAMPLES = 50

_COUNT = "SELECT count(*) FROM audience_{of} WHERE advertiser_id = %s"
# Six bytes of the hash are its first twelve hex digits, the number of rules.md 2.12.
_LOWEST = """
    SELECT id FROM audience_{of} WHERE advertiser_id = %s
    ORDER BY substr(sha256(convert_to(%s || '/' || id::text, 'UTF8')), 1, 6), id LIMIT %s
"""


class Sample(NamedTuple):
    """Some of `everybody`, or all where there are no more."""

    ids: tuple[UUID, ...]
    everybody: int


_kept: dict[tuple[int, Of, int], tuple[float, Sample]] = {}


def sample_of(advertiser_id: int, of: Of, seconds: float) -> Sample:
    """Return the sample; raise `TooSlow`. A small audience is read afresh: its numbers are exact."""
    key = (advertiser_id, of, settings.MUSTER_PREVIEW_PEOPLE)
    taken_at, kept = _kept.get(key, (0.0, None))
    if kept is not None and monotonic() - taken_at < KEPT_SECONDS:
        return kept
    sample = _read(*key, seconds)
    if sample.everybody > len(sample.ids):
        while len(_kept) >= KEPT_SAMPLES:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = (monotonic(), sample)
    return sample


def _read(advertiser_id: int, of: Of, most: int, seconds: float) -> Sample:
    with reading_for(seconds) as cursor:
        cursor.execute(_LOWEST.format(of=of), [advertiser_id, SALT, most])
        ids = tuple(id_ for (id_,) in cursor.fetchall())
        if len(ids) < most:
            return Sample(ids, len(ids))
        cursor.execute(_COUNT.format(of=of), [advertiser_id])
        (everybody,) = cursor.fetchone()
        return Sample(ids, max(everybody, len(ids)))
