"""Segments by rules for tests of pages: made, built and edited as the product does it."""

from typing import Any

from django.utils import timezone

from audience.models import Advertiser
from audience.tenancy import acting_for
from segments import rulebook
from segments.building import build
from segments.models import RuleVersion, Segment
from segments.versions import save_rule
from tests.factories import make_segment
from tests.segments.asked import text_of

VIEWED = {"event": "view", "window": {"within": "7d"}}


def make_ruled(advertiser: Advertiser, code: str = "fans", node: dict[str, Any] = VIEWED, **fields: Any) -> Segment:
    """Make a segment by a rule that serves."""
    segment = make_segment(advertiser, code, kind=Segment.Kind.RULE, **fields)
    edit(segment, node)
    build_all()
    segment.refresh_from_db()
    return segment


def edit(segment: Segment, node: dict[str, Any]) -> RuleVersion:
    """Save a rule, which is then being built."""
    with acting_for(segment.advertiser_id):
        return save_rule(segment, text_of(node))


def build_all() -> None:
    """Do what the worker does."""
    rulebook.refresh()
    build(now=timezone.now())
    rulebook.refresh()


def states(segment: Segment) -> list[tuple[int, str]]:
    rows = RuleVersion.all_advertisers.filter(segment=segment).order_by("number")
    return [(row.number, str(row.state)) for row in rows]
