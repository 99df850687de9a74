"""What the meaning of an advertiser's rules depends on: its clock and currency, how long it keeps events, its other
segments.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache

from audience.models import Advertiser, Event
from segments.models import RuleVersion, Segment
from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import OtherSegment, RuledSegment, StoredSegment, Surroundings
from segments.rules.tree import Rule
from segments.tables import of_segment


def surroundings_of(advertiser_id: int, serving: Mapping[int, str] | None = None) -> Surroundings:
    """Return what the rules of an advertiser are compiled for.

    `serving` are saved rules, by the segment's id, that take the place of those that serve: an edit is built with
    what will serve once it is done.
    """
    zone, currency = clock_and_currency_of(advertiser_id)
    segments = Segment.all_advertisers.filter(advertiser_id=advertiser_id, deleted_at=None)
    versions = RuleVersion.all_advertisers.filter(advertiser_id=advertiser_id, state=RuleVersion.State.ACTIVE)
    written = dict(versions.values_list("segment_id", "rule")) | dict(serving or {})
    return Surroundings(
        zone=zone,
        currency=currency,
        retention=timedelta(days=Event.partitioning.keep_days),
        segments={segment.code: _other(segment, written.get(segment.pk)) for segment in segments},
    )


def clock_and_currency_of(advertiser_id: int) -> tuple[str, str]:
    """Return an advertiser's zone and currency as they are now."""
    return Advertiser.objects.values_list("time_zone", "currency").get(pk=advertiser_id)


def _other(segment: Segment, written: str | None) -> OtherSegment:
    """Return a segment by its rule; one of pixels, or paused, or with a rule that is none any more, by its rows."""
    if written is not None and segment.is_active:
        try:
            return RuledSegment(segment.pk, rule_of(written), segment.code)
        except RuleRefused:
            pass
    return StoredSegment(segment.pk, segment.active_version, of_segment(segment))


@lru_cache(4096)
def rule_of(text: str) -> Rule:
    """Return a rule from its saved form; raise `RuleRefused` where this version of Muster does not know it."""
    return read(text).rule
