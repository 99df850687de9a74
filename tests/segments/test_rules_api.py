"""Rules through the API: checked, counted and explained, and nothing of it kept."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from audience.models import Advertiser
from segments.models import EventDay
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_member, make_profile, make_segment
from tests.segments.asked import text_of, told, viewed

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
VIEWED: dict[str, Any] = {"event": "view", "window": {"within": "7d"}}


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser)


def asked(node: dict[str, Any], of: str = "profile", **more: Any) -> dict[str, Any]:
    return {"rule": json.loads(text_of(node, of)), **more}


def test_a_rule_is_checked_and_comes_back_in_its_saved_form(caller: Caller) -> None:
    answer = caller.post("/rules/validate", asked({"all_of": [VIEWED, {"not": {"event": "buy"}}]})).json()
    assert answer["is_accepted"]
    assert answer["sentence"].startswith("Did `view` in the last 7 days and (not: did `buy` in the last")
    assert answer["saved"].splitlines()[4:6] == [
        '    "all_of": [',
        '      {"event": "view", "window": {"within": "7d"}},',
    ]
    again = caller.post("/rules/validate", {"rule": answer["saved"]}).json()
    assert again == answer


@pytest.mark.parametrize(
    ("rule", "place", "code"),
    [
        (text_of({"event": "view", "count": {"at_leats": 3}}), "rule.count.at_leats", "unknown_test"),
        (text_of({"all_of": []}), "rule.all_of", "empty_group"),
        (
            '{"muster_rule": 1, "muster_rule": 1, "of": "profile", "rule": {"event": "a"}}',
            "muster_rule",
            "repeated_key",
        ),
        ("{", "the rule", "not_json"),
        (text_of({"segment": "vipp", "in": True}), "rule.segment", "no_segment"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(caller: Caller, rule: str, place: str, code: str) -> None:
    answer = caller.post("/rules/validate", {"rule": rule})
    assert answer.status_code == 200
    checked = answer.json()
    assert (checked["is_accepted"], checked["sentence"], checked["saved"]) == (False, None, None)
    assert (place, code) in {(problem["place"], problem["code"]) for problem in checked["problems"]}
    for path in ("/rules/preview", "/rules/why"):
        refused = caller.post(path, {"rule": rule, **({"profile": str(uuid4())} if "why" in path else {})})
        assert refused.status_code == 400
        assert place in refused.json()["fields"]
        assert refused.json()["problems"] == checked["problems"]


def test_notes_are_told_beside_an_accepted_rule(caller: Caller) -> None:
    answer = caller.post("/rules/validate", asked({"attribute": "plan", "equals": "gold"})).json()
    assert answer["is_accepted"]
    assert [note["code"] for note in answer["notes"]] == ["attribute_never_seen"]


def test_a_rule_is_counted_with_what_each_condition_finds(caller: Caller, advertiser: Advertiser) -> None:
    viewer, _ = make_profile(advertiser, email="jo@example.com"), make_profile(advertiser)
    viewed(viewer, DAY)
    body = asked({"all_of": [VIEWED, {"identity": "email", "known": True}]}, exactly=True)
    answer = caller.post("/rules/preview", body).json()
    assert (answer["found"]["about"], answer["found"]["is_exact"], answer["exactly"]) == (1, True, 1)
    assert answer["examples"] == [str(viewer.pk)]
    assert answer["known"] == {"email": 1, "phone": 0, "customer_id": 0}
    assert [(part["place"], part["alone"]["about"]) for part in answer["parts"]] == [
        ("rule", 1),
        ("rule.all_of[0]", 1),
        ("rule.all_of[1]", 1),
    ]


def test_an_author_is_told_of_values_that_are_no_numbers(caller: Caller, advertiser: Advertiser) -> None:
    for age in ("old", 18):
        told(make_profile(advertiser), age=age)
    (part,) = caller.post("/rules/preview", asked({"attribute": "age", "at_least": 18})).json()["parts"]
    (unread,) = part["unread"]
    assert (unread["name"], unread["currency"], unread["found"]["about"]) == (["age"], None, 1)
    assert unread["sentence"] == "For 1 person, “age” is no number and does not count."


def test_a_rule_that_takes_too_long_says_so(caller: Caller, advertiser: Advertiser, settings: Any) -> None:
    settings.MUSTER_EXACT_COUNT_SECONDS = 0.0
    viewed(make_profile(advertiser), DAY)
    answer = caller.post("/rules/preview", asked(VIEWED, exactly=True))
    assert answer.status_code == 409
    assert answer.json()["code"] == "too_slow"


def test_somebody_is_explained(caller: Caller, advertiser: Advertiser) -> None:
    profile = make_profile(advertiser)
    viewed(profile, DAY)
    answer = caller.post("/rules/why", asked({"all_of": [VIEWED]}, profile=str(profile.pk))).json()
    assert answer["sentence"].startswith("In. Leaves on ")
    (child,) = answer["why"]["children"]
    assert (child["place"], child["holds"], child["changes_to"]) == ("rule.all_of[0]", True, False)
    assert [event["name"] for event in child["events"]] == ["view"]
    assert answer["until"] == child["changes_at"]


def test_why_wants_somebody_whom_the_rule_is_about(caller: Caller, advertiser: Advertiser) -> None:
    profile = make_profile(advertiser)
    body = asked({"attribute": "size", "equals": 1}, "account", profile=str(profile.pk))
    answer = caller.post("/rules/why", body)
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"account": ["The rule is about accounts: name one."]}


def test_everything_is_of_the_tokens_advertiser(caller: Caller, advertiser: Advertiser) -> None:
    other = make_advertiser()
    theirs = make_profile(other, email="jo@example.com")
    viewed(theirs, DAY)
    told(theirs, plan="gold")
    make_member(make_segment(other, "vip"), theirs)

    assert caller.post("/rules/preview", asked({"not": VIEWED}, exactly=True)).json()["exactly"] == 0
    assert caller.post("/rules/why", asked(VIEWED, profile=str(theirs.pk))).status_code == 404
    checked = caller.post("/rules/validate", asked({"segment": "vip", "in": True})).json()
    assert [problem["message"] for problem in checked["problems"]] == ["There is no segment 'vip'."]


def test_the_grammar_is_a_schema(caller: Caller) -> None:
    schema = caller.get("/rules/schema").json()
    assert schema["title"] == "A rule of Muster"


def test_what_a_rule_can_name_is_the_advertisers_own(caller: Caller, advertiser: Advertiser) -> None:
    for owner, word in ((advertiser, "mine"), (make_advertiser(), "theirs")):
        told(make_profile(owner), **{word: "x"})
        make_segment(owner, word)
        EventDay.all_advertisers.create(advertiser=owner, name=word, day=datetime.now(UTC).date(), came=3)
    names = caller.get("/rules/names").json()
    assert names["events"] == [{"name": "mine", "came": 3}]
    assert names["profile_attributes"] == [{"name": "mine", "type": "text"}]
    assert names["profile_segments"] == ["mine"]
    assert "email" in names["identifier_kinds"]
