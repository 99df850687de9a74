"""Why somebody is in a segment or out of it: from the segment's page, by an identifier, and from the person's."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from audience.accounts import account_id
from audience.models import Account, AccountMember, Advertiser, Profile, Role
from audience.tenancy import acting_for
from segments.models import Segment, Transition
from segments.versions import pause, save_rule
from tests.admins import at_work
from tests.factories import make_advertiser, make_member, make_profile, make_segment
from tests.segments.asked import text_of, viewed
from tests.segments.ruled import VIEWED, build_all, edit, make_ruled

pytestmark = pytest.mark.django_db

LIST = "/admin/segments/segment/"
BOTH = {"all_of": [VIEWED, {"not": {"event": "purchase", "window": {"within": "30d"}}}]}


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


@pytest.fixture
def jo(kettle: Advertiser) -> Profile:
    jo = make_profile(kettle, email="jo@example.com")
    viewed(jo, timedelta(days=1))
    return jo


@pytest.fixture
def fans(kettle: Advertiser, jo: Profile) -> Segment:
    return make_ruled(kettle, node=BOTH)


def why(browser: Client, segment: Segment, who: str = "") -> str:
    answer = browser.get(f"{LIST}{segment.pk}/why/", {"who": who} if who else {})
    assert answer.status_code == 200
    return answer.content.decode()


def test_who_is_in_has_each_condition_with_what_is_the_case(browser: Client, fans: Segment, jo: Profile) -> None:
    shown = why(browser, fans, "jo@example.com")
    assert "In. Leaves on " in shown
    assert "Did `view` in the last 7 days" in shown
    assert "once, newest" in shown
    assert "no from" in shown
    assert "The next times in it, if nothing else happens" in shown
    assert "by version 1 of the rule" in shown
    assert "In since" in shown
    assert "an edit of the segment" in shown
    (look,) = LogEntry.objects.all()
    assert (look.object_id, look.get_change_message()) == (str(jo.pk), "Looked at.")


def test_who_is_not_in_is_told_why(browser: Client, kettle: Advertiser, fans: Segment) -> None:
    al = make_profile(kettle, customer_id="C-7")
    shown = why(browser, fans, "C-7")
    assert "Not in, and time alone does not change that." in shown
    assert "Not a member now." in shown
    assert "Not in, and time alone" in why(browser, fans, str(al.pk))


def test_nobody_and_several_are_told(browser: Client, kettle: Advertiser, fans: Segment) -> None:
    assert "Nobody is known by that." in why(browser, fans, "nobody@example.com")
    theirs = make_profile(make_advertiser(), email="li@example.com")
    for segment in (fans, make_segment(kettle, "cart")):
        for who in ("li@example.com", str(theirs.pk)):
            assert "Nobody is known by that." in why(browser, segment, who)
    assert not LogEntry.objects.exists()


def test_without_a_name_there_is_the_question_alone(browser: Client, fans: Segment) -> None:
    shown = why(browser, fans)
    assert "Why is somebody in or out?" in shown
    assert "As a member" not in shown


def test_a_segment_of_pixels_tells_membership_and_moves(browser: Client, kettle: Advertiser, jo: Profile) -> None:
    cart, now = make_segment(kettle, "cart"), timezone.now()
    make_member(cart, jo, starts_at=now - timedelta(hours=1))
    Transition.all_advertisers.create(
        advertiser=kettle, profile=jo, segment=cart, at=now - timedelta(hours=1), change="join", cause="fact"
    )
    shown = why(browser, cart, str(jo.pk))
    assert "In until" in shown
    assert "something they did" in shown
    assert "Not in" in why(browser, cart, str(make_profile(kettle).pk))


def test_before_a_first_version_serves_and_while_paused_it_says_so(
    browser: Client, kettle: Advertiser, fans: Segment, jo: Profile
) -> None:
    fresh = make_segment(kettle, "fresh", kind=Segment.Kind.RULE)
    edit(fresh, VIEWED)
    assert "No version of this rule serves yet" in why(browser, fresh, str(jo.pk))
    pause(fans)
    assert "The segment is paused" in why(browser, fans, str(jo.pk))


def test_the_persons_page_leads_there_from_segments_in_and_out(
    browser: Client, kettle: Advertiser, fans: Segment, jo: Profile
) -> None:
    buyers = make_ruled(kettle, "buyers", {"event": "purchase"})
    build_all()
    shown = browser.get(f"/admin/audience/profile/{jo.pk}/overview/").content.decode()
    assert f"{LIST}{fans.pk}/why/?who={jo.pk}" in shown
    assert f'<option value="{buyers.pk}">Buyers</option>' in shown
    assert f'<option value="{fans.pk}">' not in shown
    led = browser.get(f"{LIST}why/", {"segment": buyers.pk, "who": jo.pk}, follow=True).content.decode()
    assert "Not in" in led


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30])
def test_a_segment_that_never_was_is_not_found(browser: Client, number: str) -> None:
    assert browser.get(f"{LIST}why/", {"segment": number}).status_code == 404


def test_it_needs_the_right_to_see_people(kettle: Advertiser, fans: Segment) -> None:
    blind = at_work(kettle, Role.ANALYST, people=False)
    assert blind.get(f"{LIST}{fans.pk}/why/", {"who": "jo@example.com"}).status_code == 403
    assert "Why is somebody in" not in blind.get(f"{LIST}{fans.pk}/overview/").content.decode()
    viewer = at_work(kettle, Role.VIEWER)
    assert "In. Leaves on " in why(viewer, fans, "jo@example.com")


def test_a_segment_of_accounts_shows_which_joined_and_why_each_is_in(
    browser: Client, kettle: Advertiser, jo: Profile
) -> None:
    with acting_for(kettle.pk):
        acme = Account.objects.create(
            id=UUID(bytes=account_id(kettle.pk, "acme")),
            key="acme",
            first_seen_at=timezone.now(),
            last_seen_at=timezone.now(),
        )
        AccountMember.objects.create(account=acme, profile=jo, since=timezone.now())
        segment = make_segment(kettle, "busy", kind=Segment.Kind.RULE)
        save_rule(segment, text_of(VIEWED, "account"))
    build_all()

    overview = browser.get(f"{LIST}{segment.pk}/overview/").content.decode()
    assert f'/admin/audience/account/{acme.pk}/overview/">acme</a>' in overview
    shown = why(browser, segment, "acme")
    assert "In. Leaves on " in shown
    assert "In since" in shown
