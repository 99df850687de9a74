"""What rules are compiled for, as an advertiser has it."""

import pytest

from segments.models import RuleVersion, Segment
from segments.rules.timeline import RuledSegment, StoredSegment
from segments.surroundings import surroundings_of
from tests.factories import make_advertiser, make_segment
from tests.segments.rules.asking import rule_text

pytestmark = pytest.mark.django_db

VIEW, BUY = rule_text({"event": "view"}), rule_text({"event": "buy"})


def ruled(advertiser, code="ruled", **fields):
    segment = make_segment(advertiser, code=code, kind=Segment.Kind.RULE, **fields)
    state = RuleVersion.State.ACTIVE
    RuleVersion.all_advertisers.create(advertiser=advertiser, segment=segment, number=1, rule=VIEW, state=state)
    return segment


def test_segments_are_those_of_the_advertiser_alone():
    advertiser = make_advertiser(time_zone="Europe/Berlin")
    make_segment(make_advertiser(), code="theirs")
    pixels, rule = make_segment(advertiser, code="pixels"), ruled(advertiser)

    around = surroundings_of(advertiser.pk)

    assert around.zone == "Europe/Berlin"
    assert around.segments.keys() == {"pixels", "ruled"}
    assert around.segments["pixels"] == StoredSegment(pixels.pk, 1)
    assert isinstance(around.segments["ruled"], RuledSegment)
    assert around.segments["ruled"].id == rule.pk


def test_a_paused_rule_is_read_from_its_rows():
    advertiser = make_advertiser()
    rule = ruled(advertiser, is_active=False)
    assert surroundings_of(advertiser.pk).segments["ruled"] == StoredSegment(rule.pk, 1)


def test_what_is_being_built_can_take_the_place_of_what_serves():
    advertiser = make_advertiser()
    rule = ruled(advertiser)
    other = surroundings_of(advertiser.pk, {rule.pk: BUY}).segments["ruled"]
    assert other.rule.root.events.names == ("buy",)


def test_a_rule_that_cannot_be_read_is_read_from_its_rows():
    advertiser = make_advertiser()
    rule = ruled(advertiser)
    RuleVersion.all_advertisers.update(rule='{"muster_rule": 2}')
    assert surroundings_of(advertiser.pk).segments["ruled"] == StoredSegment(rule.pk, 1)
