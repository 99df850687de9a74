"""What is known of a segment's next change by time."""

import pytest

from segments.freshness import freshness_of
from tests.segments.engine.scene import Shop
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

VIEWED = {"event": "view", "window": {"within": "7d"}}


@pytest.fixture
def shop():
    return Shop()


def next_change(segment, when):
    segment.refresh_from_db()
    return freshness_of(segment, at(when)).next_change


def test_an_end_for_ever_ahead_is_no_change(shop):
    segment = shop.segment("fans", {"attribute": "plan", "equals": "gold"})
    shop.track("p", "", "05-01", traits={"plan": "gold"})
    assert shop.members(segment, "05-02") == 1
    assert next_change(segment, "05-02") is None


def test_of_an_end_that_was_put_off_the_later_one_is_known(shop):
    segment = shop.segment("fans", VIEWED)
    shop.views("p", "05-01", "05-02")
    assert next_change(segment, "05-02") == at("05-09")
