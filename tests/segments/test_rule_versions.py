"""The page of a segment by a rule, its versions, and the buttons: build again, stop, go on, pause, resume, delete."""

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser
from segments import building
from segments.models import Membership, RuleVersion, Segment
from segments.versions import pause
from tests.admins import at_work
from tests.factories import make_advertiser, make_profile, make_segment
from tests.segments.asked import viewed
from tests.segments.ruled import VIEWED, build_all, edit, make_ruled, states

pytestmark = pytest.mark.django_db

LIST = "/admin/segments/segment/"
WIDER = {"event": "view", "window": {"within": "14d"}}


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


@pytest.fixture
def fans(kettle: Advertiser) -> Segment:
    viewed(make_profile(kettle), timedelta(days=1))
    return make_ruled(kettle)


def link(segment: Segment, page: str = "overview") -> str:
    return f"{LIST}{segment.pk}/{page}/"


def page(browser: Client, segment: Segment, name: str = "overview") -> str:
    answer = browser.get(link(segment, name))
    assert answer.status_code == 200
    return answer.content.decode()


def press(browser: Client, segment: Segment, button: str, **sent: Any) -> str:
    """Press a button of a segment's page; return the page that follows."""
    return browser.post(link(segment, button), sent, follow=True).content.decode()


def test_the_page_tells_what_the_rule_says_how_fresh_it_is_and_who_came_why(browser: Client, fans: Segment) -> None:
    shown = page(browser, fans)
    assert "Did `view` in the last 7 days." in shown
    assert "Version 1, complete since" in shown
    assert "Facts: at once. Time: at once." in shown
    assert "The next change by time is known for" in shown
    assert "an edit of the segment" in shown
    assert "1 by an edit of the segment." in shown


def test_time_that_nobody_has_published_is_behind(browser: Client, fans: Segment) -> None:
    over = timezone.now() - timedelta(seconds=90)
    Membership.all_advertisers.update(starts_at=over - timedelta(hours=1), sweep_at=over, expires_at=over)
    shown = page(browser, fans)
    assert "Time: 90 s behind." in shown or "Time: 91 s behind." in shown
    assert '<span class="m-stat__value">0</span>' in shown


def test_the_horizon_of_what_repeats_is_no_change(browser: Client, kettle: Advertiser) -> None:
    make_profile(kettle)
    no_birthday = {"not": {"attribute": "birthday", "anniversary": {"within_next": "7d"}}}
    shown = page(browser, make_ruled(kettle, node=no_birthday))
    assert '<span class="m-stat__value">1</span>' in shown
    assert "The next change by time" not in shown


def test_versions_tell_what_changed_in_words_and_in_lines(browser: Client, fans: Segment) -> None:
    edit(fans, WIDER)
    build_all()
    shown = page(browser, fans, "versions")
    assert '<del class="m-gone">7</del> <ins class="m-new">14</ins>' in shown
    new_line = '<ins>  "rule": {"event": "view", "window": {"within": "14d"}}</ins>'
    assert new_line in unescape(shown)
    assert "Serves" in shown
    assert "Replaced by a later one" in shown


def test_an_old_rule_is_used_again(browser: Client, fans: Segment) -> None:
    edit(fans, WIDER)
    build_all()
    assert "is saved as version 3" in press(browser, fans, "use-again", version="1")
    assert states(fans) == [(1, "superseded"), (2, "active"), (3, "building")]
    rules = RuleVersion.all_advertisers.filter(segment=fans, number__in=[1, 3]).values_list("rule", flat=True)
    assert len(set(rules)) == 1
    assert "Nothing is built." in press(browser, fans, "use-again", version="3")


@pytest.mark.parametrize("number", ["7", "", "x", "99999999999"])
def test_a_version_that_never_was_is_not_found(browser: Client, fans: Segment, number: str) -> None:
    for button in ("use-again", "build-again"):
        assert browser.post(link(fans, button), {"version": number}).status_code == 404


def test_a_failed_build_is_told_and_begun_again(browser: Client, fans: Segment) -> None:
    version = edit(fans, WIDER)
    saved = version.rule
    RuleVersion.all_advertisers.filter(pk=version.pk).update(rule='{"muster_rule": 2}')
    build_all()
    shown = page(browser, fans)
    assert "Version 2 could not be built: " in shown
    assert "Version 1 goes on to serve." in shown

    RuleVersion.all_advertisers.filter(pk=version.pk).update(rule=saved)
    assert "Version 3 is being built." in press(browser, fans, "build-again", version="2")
    build_all()
    assert states(fans) == [(1, "superseded"), (2, "failed"), (3, "active")]
    assert "Something has changed meanwhile." in press(browser, fans, "build-again", version="2")


def test_a_build_is_stopped_and_goes_on_where_it_was(browser: Client, fans: Segment) -> None:
    edit(fans, WIDER)
    assert "The building is stopped." in press(browser, fans, "stop")
    build_all()
    assert states(fans) == [(1, "active"), (2, "building")]
    assert "Version 2 is stopped" in page(browser, fans)
    assert "It is stopped already." in press(browser, fans, "stop")
    assert "The building goes on where it was." in press(browser, fans, "go-on")
    build_all()
    assert states(fans) == [(1, "superseded"), (2, "active")]
    assert "Nothing is being built any more." in press(browser, fans, "go-on")


def test_progress_is_told_in_percent_and_people(browser: Client, fans: Segment, kettle: Advertiser) -> None:
    version = edit(fans, WIDER)
    assert "It begins within seconds" in page(browser, fans)
    RuleVersion.all_advertisers.filter(pk=version.pk).update(
        profiles_done=620, profiles_total=1_000, built_to=make_profile(kettle).pk
    )
    live = browser.get(link(fans), {"part": "live"}).content.decode()
    assert "Version 2 is being built: 62 %" in live
    assert "620 of 1,000 people are done." in live
    assert 'data-open="yes"' in live
    assert "<html" not in live


def test_what_uses_an_edited_segment_says_with_which_it_is_built(
    browser: Client, fans: Segment, kettle: Advertiser
) -> None:
    users = make_ruled(kettle, "users", {"segment": "fans", "in": True})
    edit(fans, WIDER)
    assert "It is built with" in page(browser, users)
    press(browser, users, "stop")
    assert "Version 2 is stopped" in page(browser, fans)
    build_all()
    assert states(users) == [(1, "active"), (2, "building")]


def test_pausing_asks_names_what_depends_and_resuming_builds_anew(
    browser: Client, fans: Segment, kettle: Advertiser
) -> None:
    make_ruled(kettle, "users", {"segment": "fans", "in": True})
    asked = page(browser, fans, "pause")
    assert "Users" in asked
    assert "Who is in stays until the end that is known now" in asked
    fans.refresh_from_db()
    assert fans.is_active

    assert "is paused: nobody comes in" in press(browser, fans, "pause")
    fans.refresh_from_db()
    assert not fans.is_active
    assert "Paused" in page(browser, fans)
    assert "is paused already" in press(browser, fans, "pause")
    assert "version 2 is being built" in press(browser, fans, "resume")
    build_all()
    assert "Live" in page(browser, fans)
    assert "is not paused" in press(browser, fans, "resume")


def test_a_segment_that_rules_ask_for_says_so_and_is_not_deleted(
    browser: Client, fans: Segment, kettle: Advertiser
) -> None:
    users = make_ruled(kettle, "users", {"segment": "fans", "in": True})
    asked = page(browser, fans, "delete")
    assert "The rules of “Users” ask for it. Change these first." in asked
    assert link(users) in asked
    browser.post(link(fans, "delete"), {"post": "yes"})
    fans.refresh_from_db()
    assert fans.deleted_at is None
    browser.post(link(users, "delete"), {"post": "yes"})
    browser.post(link(fans, "delete"), {"post": "yes"})
    fans.refresh_from_db()
    assert fans.deleted_at is not None


def test_a_rule_that_names_what_is_gone_is_told(browser: Client, kettle: Advertiser, fans: Segment) -> None:
    users = make_ruled(kettle, "users", {"segment": "fans", "in": True})
    Segment.all_advertisers.filter(pk=fans.pk).update(deleted_at=timezone.now())
    shown = page(browser, users)
    assert "Broken" in shown
    assert "nobody joins; members leave at their ends" in shown


def test_an_unreadable_rule_spoils_no_other_page(browser: Client, kettle: Advertiser, fans: Segment) -> None:
    RuleVersion.all_advertisers.filter(segment=fans).update(rule='{"muster_rule": 2}')
    other = make_ruled(kettle, "other")
    assert "Broken" in page(browser, fans)
    assert "cannot be read" in page(browser, fans, "versions")
    assert "Live" in page(browser, other)
    assert browser.get(link(other, "delete")).status_code == 200


def test_the_list_tells_what_is_being_built_and_what_could_not_be(browser: Client, fans: Segment) -> None:
    assert "m-state" not in browser.get(LIST).content.decode()
    version = edit(fans, WIDER)
    assert "being built" in browser.get(LIST).content.decode()
    press(browser, fans, "stop")
    assert "stopped" in browser.get(LIST).content.decode()
    RuleVersion.all_advertisers.filter(pk=version.pk).update(state="failed")
    assert "not built" in browser.get(LIST).content.decode()


def test_a_first_rule_that_failed_is_resumed(browser: Client, kettle: Advertiser) -> None:
    fresh = make_segment(kettle, "fresh", kind=Segment.Kind.RULE)
    assert "No rule has been saved yet." in page(browser, fresh)
    version = edit(fresh, VIEWED)
    RuleVersion.all_advertisers.filter(pk=version.pk).update(state="failed")
    assert "Version 1 could not be built" in page(browser, fresh)
    press(browser, fresh, "pause")
    press(browser, fresh, "resume")
    build_all()
    assert states(fresh) == [(1, "failed"), (2, "active")]


def test_a_rule_segment_without_a_rule_is_not_resumed(browser: Client, kettle: Advertiser) -> None:
    bare = make_segment(kettle, "bare", kind=Segment.Kind.RULE, is_active=False)
    assert "has no rule yet" in press(browser, bare, "resume")


def test_switching_off_a_segment_of_pixels_names_whose_rules_ask_for_it(browser: Client, kettle: Advertiser) -> None:
    cart = make_segment(kettle, "cart")
    make_ruled(kettle, "buyers", {"segment": "cart", "in": True})
    assert "The rules of “Buyers” ask for it." in page(browser, cart, "change")


def test_buttons_take_no_get(browser: Client, fans: Segment) -> None:
    for button in ("use-again", "build-again", "stop", "go-on", "resume"):
        assert browser.get(link(fans, button)).status_code == 405


def test_the_buttons_of_a_foreign_segment_are_not_there(browser: Client) -> None:
    theirs = make_ruled(make_advertiser())
    for name in ("overview", "versions", "why", "pause"):
        assert browser.get(link(theirs, name)).status_code == 404
    for button in ("use-again", "build-again", "stop", "go-on", "pause", "resume"):
        assert browser.post(link(theirs, button), {"version": "1"}).status_code == 404
    assert states(theirs) == [(1, "active")]


def test_a_thousand_members_are_told_and_not_counted(
    browser: Client, kettle: Advertiser, django_assert_max_num_queries: Any
) -> None:
    for _ in range(50):
        viewed(make_profile(kettle), timedelta(days=1))
    fans = make_ruled(kettle)
    with django_assert_max_num_queries(50) as captured:
        assert '<span class="m-stat__value">50</span>' in page(browser, fans)
    assert not [
        one for one in captured.captured_queries if 'count(*) from "segments_membership"' in one["sql"].lower()
    ]


def test_a_second_edit_begins_though_the_first_was_stopped(fans: Segment) -> None:
    assert building.stop(edit(fans, WIDER))
    edit(fans, {"event": "view"})
    build_all()
    assert states(fans) == [(1, "superseded"), (2, "superseded"), (3, "active")]


def test_a_paused_segment_is_not_built_again(browser: Client, fans: Segment) -> None:
    version = edit(fans, WIDER)
    RuleVersion.all_advertisers.filter(pk=version.pk).update(state="failed")
    pause(fans)
    assert "Resume it first." in press(browser, fans, "build-again", version="2")


def test_a_new_segment_says_that_it_waits(browser: Client, kettle: Advertiser) -> None:
    fans = make_ruled(kettle, node=VIEWED)
    assert "Nobody has joined yet." in page(browser, fans)
    assert "No export and no other segment uses it yet." in page(browser, fans)
