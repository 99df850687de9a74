"""The README's picture of a timeline is what Muster makes of such a rule and such facts."""

import re

import pytest

from audience.tenancy import acting_for
from segments.models import Membership
from tests.running import ROOT
from tests.segments.engine.scene import Shop
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db

PICTURE = (ROOT / "docs/images/timeline.svg").read_text()
TWICE = {"event": "purchase", "window": {"within": "30d"}, "count": {"at_least": 2}}


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_the_ends_in_the_picture_follow_from_its_purchases(shop: Shop) -> None:
    days = re.findall(r">Purchase (\d+) May<", PICTURE)
    (join,) = re.findall(r">joins (\d+) May<", PICTURE)
    (leave,) = re.findall(r">leaves (\d+) June<", PICTURE)
    shop.segment("often", TWICE)
    for day in days:
        shop.track("A", "purchase", f"05-{int(day):02} 10:00")

    with acting_for(shop.advertiser.pk):
        member = Membership.objects.get()
        assert (member.starts_at, member.expires_at) == (at(f"05-{join} 10:00"), at(f"06-{leave} 10:00"))
        shop.track("A", "purchase", "06-05 10:00")
        assert Membership.objects.get().expires_at > member.expires_at, "a purchase in June moves the end"
