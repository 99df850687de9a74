"""What an advertiser's rules are checked against: its own names, with the types of their values."""

from typing import Any

import pytest

from audience.models import Advertiser
from segments.knowledge import Knowledge, limits, read_rule
from segments.rules.limits import Limits
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import RuledSegment, StoredSegment, Surroundings
from tests.factories import make_advertiser, make_profile
from tests.segments.asked import rule_of, text_of, told

pytestmark = pytest.mark.django_db

AROUND = Surroundings(
    segments={
        "cart": StoredSegment(1, 1),
        "vip": RuledSegment(2, rule_of({"segment": "cart", "in": True}), "vip"),
        "big": RuledSegment(3, rule_of({"attribute": "size", "equals": 1}, "account"), "big"),
    }
)


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["gold", "red"], "text"),
        ([1, 2.5], "number"),
        ([True], "boolean"),
        (["2026-05-01"], "day"),
        (["2026-05-01", "2026-05-01T10:00:00Z"], "date"),
        ([["a"], []], "list"),
        ([[{"id": 1}]], "records"),
        (["gold", 1], None),
        (["10115"], None),
        ([[]], None),
    ],
)
def test_an_attribute_has_the_type_of_its_values(
    advertiser: Advertiser, values: list[Any], found: str | None
) -> None:
    for value in values:
        told(make_profile(advertiser), plan=value)
    assert Knowledge(advertiser.pk, Surroundings()).attributes("profile") == {("plan",): found}


def test_names_of_another_advertiser_are_not_known(advertiser: Advertiser) -> None:
    told(make_profile(make_advertiser()), plan="gold")
    knowledge = Knowledge(advertiser.pk, Surroundings())
    assert knowledge.attributes("profile") == {}
    assert knowledge.attributes("account") == {}
    asked = text_of({"attribute": "plan", "at_least": 3})
    reading = read_rule(asked, advertiser.pk, Surroundings())
    assert [note.message for note in reading.notes] == ["Nobody has an attribute 'plan' yet. Known are cart."]


def test_a_test_that_does_not_fit_the_values_is_refused(advertiser: Advertiser) -> None:
    told(make_profile(advertiser), plan="gold")
    with pytest.raises(RuleRefused, match="'plan' is text; 'at_least' needs a number"):
        read_rule(text_of({"attribute": "plan", "at_least": 3}), advertiser.pk, Surroundings())


def test_segments_are_those_of_profiles_or_of_accounts(advertiser: Advertiser) -> None:
    knowledge = Knowledge(advertiser.pk, AROUND)
    assert knowledge.segments("profile") == ["cart", "vip"]
    assert knowledge.segments("account") == ["big"]
    assert knowledge.segments_used_by("vip") == {"cart"}
    assert knowledge.segments_used_by("cart") == ()


def test_a_rule_may_be_as_large_as_the_settings_say(advertiser: Advertiser, settings: Any) -> None:
    assert limits() == Limits()
    settings.MUSTER_RULE_CONDITIONS = 2
    asked = text_of({"all_of": [{"event": "view"}, {"event": "buy"}]})
    with pytest.raises(RuleRefused, match="3 conditions; 2 are allowed"):
        read_rule(asked, advertiser.pk, Surroundings())
