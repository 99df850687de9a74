"""The page to try a rule, as a marketer uses it without JavaScript, and what its script asks for."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from segments.admin.rules import RuleField
from segments.models import EventDay
from segments.rules.reading.rules import read
from segments.rules.writing import write
from segments.starting_points import STARTING_POINTS
from tests.admins import at_work, form_of
from tests.factories import make_advertiser, make_profile, make_segment
from tests.segments.asked import text_of, told, viewed

pytestmark = pytest.mark.django_db

PAGE = "/admin/segments/segment/try-a-rule/"
DAY = timedelta(days=1)
VIEWED = text_of({"event": "view", "window": {"within": "7d"}})


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle & Co", time_zone="Europe/Berlin")


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def shown(browser: Client, rule: str, do: str, **more: str) -> str:
    answer = browser.post(PAGE, {"rule": rule, "do": do, **more})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_begins_empty_or_with_a_starting_point(browser: Client) -> None:
    empty = browser.get(PAGE).content.decode()
    assert "".join(form_of(empty, having="rule")["rule"]).strip() == ""
    for one in STARTING_POINTS:
        page = browser.get(PAGE, {"start": one.key}).content.decode()
        assert "is not a rule yet" not in page
        assert "data-accepted" in page


@pytest.mark.parametrize("one", STARTING_POINTS, ids=lambda one: one.key)
def test_a_starting_point_is_a_rule_in_its_saved_form(one: Any) -> None:
    assert json.loads(one.text)["rule"] == one.node
    assert read(one.text).rule.of == one.of


def test_check_says_the_rule_or_all_that_is_wrong(browser: Client) -> None:
    assert "Did `view` in the last 7 days." in shown(browser, VIEWED, "check")
    page = shown(browser, text_of({"all_of": [{"event": "view", "count": {"at_leats": 3}}, {"any_of": []}]}), "check")
    assert "2 things are wrong." in page
    assert "<code>rule.all_of[0].count.at_leats</code>" in page
    assert "This group has no conditions." in page
    assert "at_leats" in form_of(page, having="rule")["rule"][0]


def test_count_shows_the_number_and_each_conditions(browser: Client, kettle: Advertiser) -> None:
    viewed(make_profile(kettle, email="jo@example.com"), DAY)
    make_profile(kettle)
    viewed(make_profile(make_advertiser()), DAY)
    page = shown(browser, VIEWED, "count")
    assert '<span class="m-stat__value m-stat__value--text">1</span>' in page
    assert "of 2" in page
    assert "100 % have an email" in page
    assert "Counted exactly: <strong>1</strong>" in shown(browser, VIEWED, "exactly")


def test_count_says_whose_values_are_no_numbers(browser: Client, kettle: Advertiser) -> None:
    for total in (20, "12,50"):
        viewed(make_profile(kettle), DAY, name="buy", total=total)
    page = shown(browser, text_of({"event": "buy", "sum": {"of": "total", "at_least": 10}}), "count")
    assert "For 1 person, “total” is no number (or not in EUR) and does not count." in page
    page = shown(browser, text_of({"event": "buy", "sum": {"of": "quantity", "at_least": 10}}), "count")
    assert "does not count" not in page
    assert "(1)</summary>" in page


def test_a_long_list_of_conditions_hides_none_whose_values_are_no_numbers(
    browser: Client, kettle: Advertiser
) -> None:
    for total in (20, "12,50"):
        viewed(make_profile(kettle), DAY, name="buy", total=total)
    counted = [{"event": "buy", "count": {"at_least": number}} for number in range(1, 25)]
    asked = {"event": "buy", "sum": {"of": "total", "at_least": 10}}
    assert '<details><summary class="m-subtitle">Condition' in shown(browser, text_of({"any_of": counted}), "count")
    page = shown(browser, text_of({"any_of": [*counted, asked]}), "count")
    assert '<details open><summary class="m-subtitle">Condition by condition (26), 1 with values that are' in page


def test_why_explains_somebody_and_notes_who_looked(browser: Client, kettle: Advertiser) -> None:
    jo = make_profile(kettle, email="jo@example.com")
    viewed(jo, DAY)
    page = shown(browser, VIEWED, "why", who="jo@example.com")
    assert "In. Leaves on " in page
    assert "once, newest" in page
    (look,) = LogEntry.objects.all()
    assert (look.object_id, look.get_change_message()) == (str(jo.pk), "Looked at.")


def test_why_of_another_advertisers_people_is_that_of_nobody(browser: Client) -> None:
    theirs = make_profile(make_advertiser(), email="jo@example.com")
    for who in ("jo@example.com", str(theirs.pk), ""):
        assert "Nobody is known by that." in shown(browser, VIEWED, "why", who=who)
    assert not LogEntry.objects.exists()


def test_why_needs_the_right_to_see_people(kettle: Advertiser) -> None:
    make_profile(kettle, email="jo@example.com")
    blind = at_work(kettle, Role.ANALYST, people=False)
    page = shown(blind, VIEWED, "why", who="jo@example.com")
    assert 'value="why"' not in page
    assert "Not in" not in page


@pytest.mark.parametrize("path", ["", "checks/", "numbers/"])
def test_it_is_for_those_who_may_make_segments(kettle: Advertiser, path: str) -> None:
    viewer, analyst = at_work(kettle, Role.VIEWER), at_work(kettle, Role.ANALYST)
    assert viewer.post(PAGE + path, {"rule": VIEWED}).status_code == 403
    assert analyst.post(PAGE + path, {"rule": VIEWED}).status_code == 200
    assert "Try a rule" not in viewer.get("/admin/").content.decode()
    assert "Try a rule" in analyst.get("/admin/").content.decode()


def test_the_script_gets_parts_of_the_page(browser: Client, kettle: Advertiser) -> None:
    viewed(make_profile(kettle), DAY)
    checks = browser.post(f"{PAGE}checks/", {"rule": VIEWED}).content.decode()
    assert "data-accepted" in checks
    assert "<html" not in checks
    numbers = browser.post(f"{PAGE}numbers/", {"rule": VIEWED}).content.decode()
    assert "People now" in numbers
    assert browser.get(f"{PAGE}checks/").status_code == 405


def test_another_advertisers_segment_is_not_known(browser: Client) -> None:
    make_segment(make_advertiser(), "vip")
    assert "There is no segment" in shown(browser, text_of({"segment": "vip", "in": True}), "check")


def test_a_form_keeps_the_saved_form_of_a_rule(kettle: Advertiser) -> None:
    class Form(forms.Form):
        rule = RuleField()

    with acting_for(kettle.pk):
        form = Form({"rule": VIEWED})
        assert form.is_valid()
        assert form.cleaned_data["rule"] == write(read(VIEWED).rule)
        wrong = Form({"rule": text_of({"all_of": []})})
        assert not wrong.is_valid()
        assert wrong.errors["rule"] == ["rule.all_of: This group has no conditions. Add one or remove the group."]


def test_the_page_lists_what_a_rule_can_name(browser: Client, kettle: Advertiser) -> None:
    for owner, word in ((kettle, "ours"), (make_advertiser(), "theirs")):
        EventDay.all_advertisers.create(advertiser=owner, name=f"{word}_event", day=timezone.now().date(), came=1_234)
        told(make_profile(owner), **{f"{word}_attribute": "x"})
        make_segment(owner, f"{word}-segment")
    page = browser.get(PAGE).content.decode()
    assert "<code>ours_event</code> 1,234" in page
    assert "<code>ours_attribute</code> text" in page
    assert "<code>ours-segment</code>" in page
    assert "theirs" not in page
