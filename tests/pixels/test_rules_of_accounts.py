"""What people do at the door reaches the rules of their accounts, and those of their colleagues."""

import json

import pytest
from django.utils import timezone

from audience.tenancy import acting_for
from segments.building import build
from segments.membership import holds
from segments.models import AccountMembership, AccountTransition, Membership, Segment
from segments.versions import save_rule
from tests.factories import make_segment
from tests.pixels.teller import Teller

SPENT = {"event": "bought", "sum": {"of": "total", "at_least": 100}}


@pytest.fixture
def teller(door):
    return Teller(door)


def make_rule(teller, code, node, of):
    segment = make_segment(teller.advertiser, code, kind=Segment.Kind.RULE)
    save_rule(segment, json.dumps({"muster_rule": 1, "of": of, "rule": node}))
    return segment


@pytest.mark.spec("rules.md 3")
def test_what_two_people_do_brings_their_account_and_both_of_them_in(teller):
    spenders = make_rule(teller, "spenders", SPENT, "account")
    people = make_rule(teller, "of-spenders", {"account": SPENT}, "profile")
    build(now=timezone.now())
    teller.door.catch_up()

    def tell(call, who, **said):
        assert teller.tell(call, key=teller.server, userId=who, **said).status == 200

    for who in ("C-1", "C-2"):
        tell("group", who, groupId="ACME")
        tell("track", who, event="bought", properties={"total": 60})
    teller.door.catch_up()
    with acting_for(teller.advertiser.pk):
        now = timezone.now()
        assert AccountMembership.objects.filter(holds(now), segment=spenders).count() == 1
        assert Membership.objects.filter(holds(now), segment=people).count() == 2
        assert [row.cause for row in AccountTransition.objects.all()] == ["fact"]
