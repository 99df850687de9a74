"""A marketer makes a segment by a rule and edits it: every refusal stands at its place, and nothing typed is lost."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from audience.models import Advertiser, Role
from segments.models import RuleVersion, Segment
from segments.starting_points import STARTING_POINTS, starting_point
from segments.versions import pause
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_profile, make_segment
from tests.segments.asked import text_of, viewed
from tests.segments.ruled import VIEWED, build_all, edit, make_ruled, states

pytestmark = pytest.mark.django_db

LIST = "/admin/segments/segment/"
ADD = f"{LIST}add/by-rule/"


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def page_of(segment: Segment, page: str = "overview") -> str:
    return f"{LIST}{segment.pk}/{page}/"


def filled(browser: Client, link: str = ADD, **typed: str) -> dict[str, Any]:
    return form_of(browser.get(link).content.decode(), having="rule") | typed


def test_add_segment_asks_how_people_come_in(browser: Client) -> None:
    for link in (f"{LIST}add/", ADD):
        page = browser.get(link).content.decode()
        assert "People fired by a pixel" in page
        assert "People who fit a rule" in page
    assert "lifetime_minutes" not in page
    assert "write_mode" not in page
    assert "People who fit a rule" not in browser.get(f"{LIST}add/", {"_popup": "1"}).content.decode()


def test_a_name_and_a_rule_are_enough(browser: Client, kettle: Advertiser) -> None:
    viewed(make_profile(kettle), timedelta(days=1))
    answer = browser.post(ADD, filled(browser, name="Big fans", rule=text_of(VIEWED)))
    segment = Segment.all_advertisers.get()
    assert answer["Location"] == page_of(segment)
    assert (segment.kind, segment.code, segment.advertiser_id) == ("rule", "big-fans", kettle.pk)
    (version,) = RuleVersion.all_advertisers.all()
    assert (version.number, version.state, version.author) == (1, "building", answer.wsgi_request.user)

    assert "Nobody is in before the first version is built." in browser.get(page_of(segment)).content.decode()
    build_all()
    page = browser.get(page_of(segment)).content.decode()
    assert "Did `view` in the last 7 days." in page
    assert "Version 1, complete since" in page


@pytest.mark.parametrize("one", STARTING_POINTS, ids=lambda one: one.key)
def test_a_starting_point_is_put_in_and_what_was_typed_stays(browser: Client, one: Any) -> None:
    page = browser.post(ADD, filled(browser, name="Carts", description="For May", _start=one.key)).content.decode()
    form = form_of(page, having="rule")
    assert "".join(form["rule"]).strip() == one.text.strip()
    assert (form["name"], form["description"]) == (["Carts"], ["For May"])
    assert "data-accepted" in page
    assert not Segment.all_advertisers.exists()


def test_count_tells_the_number_and_saves_nothing(browser: Client, kettle: Advertiser) -> None:
    viewed(make_profile(kettle), timedelta(days=1))
    page = browser.post(ADD, filled(browser, rule=text_of(VIEWED), _do="count")).content.decode()
    assert "People now" in page
    assert "This field is required" not in page
    assert not Segment.all_advertisers.exists()


def test_a_rule_of_silence_says_so_and_a_button_asks_for_those_who_were_seen(browser: Client) -> None:
    silent = {"not": {"event": "purchase"}}
    page = browser.post(ADD, filled(browser, name="Quiet", rule=text_of(silent), _do="count")).content.decode()
    assert "People who never did anything fit, too." in page
    page = browser.post(ADD, form_of(page, having="rule") | {"_seen": "1"}).content.decode()
    form = form_of(page, having="rule")
    seen = {"event": "*", "window": {"within": "30d"}}
    assert json.loads("".join(form["rule"]))["rule"] == {"all_of": [seen, silent]}
    assert form["name"] == ["Quiet"]
    assert "People now" in page
    assert "never did anything" not in page


@pytest.mark.parametrize("node", [{"bucket": [0, 90]}, {"attribute": "plan", "known": False}, {"not": VIEWED}])
def test_rules_that_strangers_fit(node: dict[str, Any], browser: Client) -> None:
    page = browser.post(f"{LIST}try-a-rule/", {"rule": text_of(node), "do": "count"}).content.decode()
    assert "never did anything" in page
    page = browser.post(f"{LIST}try-a-rule/", {"rule": text_of(node), "_seen": "1"}).content.decode()
    assert "People now" in page
    assert "never did anything" not in page


@pytest.mark.parametrize("node", [VIEWED, {"identity": "email", "known": True}, {"attribute": "plan", "equals": "x"}])
def test_rules_that_no_stranger_fits(node: dict[str, Any], browser: Client) -> None:
    page = browser.post(f"{LIST}try-a-rule/", {"rule": text_of(node), "do": "count"}).content.decode()
    assert "People now" in page
    assert "never did anything" not in page


def test_a_refused_rule_stands_at_its_place_and_nothing_is_kept(browser: Client) -> None:
    wrong = text_of({"all_of": [{"event": "view", "count": {"at_leats": 3}}, {"any_of": []}]})
    page = browser.post(ADD, filled(browser, name="Fans", rule=wrong)).content.decode()
    assert "<code>rule.all_of[0].count.at_leats</code>" in page
    assert "This group has no conditions." in page
    assert "at_leats" in "".join(form_of(page, having="rule")["rule"])
    assert form_of(page, having="rule")["name"] == ["Fans"]
    assert not Segment.all_advertisers.exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"name": "", "rule": text_of(VIEWED)}, "This field is required."),
        ({"name": "Fans", "rule": " "}, "Write a rule, or begin with one of the starting points."),
        ({"name": "Fans", "code": "CART", "rule": text_of(VIEWED)}, "You have a segment with this code already."),
    ],
)
def test_what_is_missing_is_told_at_its_field(
    browser: Client, kettle: Advertiser, typed: dict[str, str], told: str
) -> None:
    make_segment(kettle, "cart")
    answer = browser.post(ADD, filled(browser, **typed))
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert Segment.all_advertisers.count() == 1


def test_a_rule_about_accounts_makes_a_segment_of_accounts(browser: Client) -> None:
    team = starting_point("buying-team")
    browser.post(ADD, filled(browser, name="Teams", rule=team.text if team else ""))
    assert Segment.all_advertisers.get().of == Segment.Of.ACCOUNT


def test_another_advertisers_segment_is_unknown(browser: Client) -> None:
    make_segment(make_advertiser(), "vip")
    page = browser.post(
        ADD, filled(browser, name="Mine", rule=text_of({"segment": "vip", "in": True}))
    ).content.decode()
    assert "There is no segment &#x27;vip&#x27;." in page
    assert Segment.all_advertisers.count() == 1


def test_an_edited_rule_is_a_new_version_and_a_name_is_none(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    change = page_of(segment, "change")
    browser.post(change, filled(browser, change, name="True fans", description="All who look"))
    segment.refresh_from_db()
    assert (segment.name, segment.description) == ("True fans", "All who look")
    assert states(segment) == [(1, "active")]

    browser.post(change, filled(browser, change, rule=text_of({"event": "view", "window": {"within": "14d"}})))
    assert states(segment) == [(1, "active"), (2, "building")]
    page = browser.get(page_of(segment)).content.decode()
    assert "Version 2 is being built" in page
    assert "Version 1 serves meanwhile." in page


def test_the_code_of_a_rule_segment_stays(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    change = page_of(segment, "change")
    assert "code" not in filled(browser, change)
    browser.post(change, filled(browser, change, code="other"))
    segment.refresh_from_db()
    assert segment.code == "fans"


def test_a_code_that_rules_name_stays(browser: Client, kettle: Advertiser) -> None:
    cart = make_segment(kettle, "cart")
    make_ruled(kettle, "buyers", {"segment": "cart", "in": True})
    change = page_of(cart, "change")
    answer = browser.post(change, form_of(browser.get(change).content.decode(), having="name") | {"code": "basket"})
    assert "The rules of “Buyers” ask for “cart”." in str(answer.context["adminform"].form.errors["code"])


def test_an_edit_shows_who_would_come_and_go(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    for days in (1, 10):
        viewed(make_profile(kettle), timedelta(days=days))
    build_all()
    link = f"{LIST}try-a-rule/numbers/?segment={segment.pk}"
    wider = {"event": "view", "window": {"between_ago": ["5d", "30d"]}}
    page = browser.post(link, {"rule": text_of(wider)}).content.decode()
    assert "<strong>1</strong> would join, <strong>1</strong> would leave and <strong>0</strong> stay." in page
    foreign = make_ruled(make_advertiser())
    assert browser.post(link.replace(str(segment.pk), str(foreign.pk)), {"rule": text_of(wider)}).status_code == 404


def test_a_rule_does_not_ask_for_its_own_segment(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    make_ruled(kettle, "users", {"segment": "fans", "in": True})
    change = page_of(segment, "change")
    page = browser.post(
        change, filled(browser, change, rule=text_of({"segment": "users", "in": True}))
    ).content.decode()
    assert "Remove one of the two." in page
    assert states(segment) == [(1, "active")]


def test_of_two_editors_the_second_sees_what_the_first_saved(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    change = page_of(segment, "change")
    mine = filled(browser, change, rule=text_of({"event": "view", "window": {"within": "30d"}}))
    edit(segment, {"event": "view", "window": {"within": "14d"}})

    page = browser.post(change, mine).content.decode()
    assert "saved version 2 meanwhile" in page
    assert '<del class="m-gone">14</del>' in page
    assert states(segment) == [(1, "active"), (2, "building")]
    browser.post(change, form_of(page, having="rule"))
    assert states(segment) == [(1, "active"), (2, "superseded"), (3, "building")]


def test_a_paused_segment_takes_a_new_name_and_no_new_rule(browser: Client, kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    pause(segment)
    change = page_of(segment, "change")
    browser.post(change, filled(browser, change, name="True fans"))
    segment.refresh_from_db()
    assert segment.name == "True fans"
    page = browser.post(change, filled(browser, change, rule=text_of({"event": "other"}))).content.decode()
    assert "The segment is paused. Resume it first." in page


def test_who_may_only_read_sees_the_rule_and_changes_nothing(kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    viewer = at_work(kettle, Role.VIEWER)
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(ADD, {"name": "x", "rule": text_of(VIEWED)}).status_code == 403
    read = viewer.get(page_of(segment, "change")).content.decode()
    assert "&quot;event&quot;: &quot;view&quot;" in read
    assert "<textarea" not in read
    assert viewer.post(page_of(segment, "change"), {"name": "x"}).status_code == 403
    for page in ("use-again", "build-again", "stop", "go-on", "pause", "resume"):
        assert viewer.post(page_of(segment, page), {"version": "1"}).status_code == 403
    assert '<form method="post"' not in viewer.get(page_of(segment)).content.decode().partition("m-page")[2]
    assert states(segment) == [(1, "active")]


def test_an_analyst_edits_and_is_not_offered_to_delete(kettle: Advertiser) -> None:
    segment = make_ruled(kettle)
    change = page_of(segment, "change")
    analyst = at_work(kettle, Role.ANALYST)
    assert "Delete segment" not in analyst.get(change).content.decode()
    assert "Delete segment" in at_work(kettle, Role.MANAGER).get(change).content.decode()
    analyst.post(change, filled(analyst, change, rule=text_of({"event": "other"})))
    assert states(segment) == [(1, "active"), (2, "building")]


def test_pages_of_a_rule_are_not_there_for_a_segment_of_pixels(browser: Client, kettle: Advertiser) -> None:
    cart, fans = make_segment(kettle, "cart"), make_ruled(kettle)
    assert browser.get(page_of(cart, "versions")).status_code == 404
    assert browser.post(page_of(cart, "pause")).status_code == 404
    assert browser.get(page_of(fans, "live")).status_code == 404
    page = browser.get(LIST).content.decode()
    assert "while the rule holds" in page
    body = {"action": "get_tag", "_selected_action": [str(fans.pk)], "index": "0"}
    assert "there is no tag to place" in browser.post(LIST, body, follow=True).content.decode()
