"""Segments by a rule, through the API: made, read, edited, built, paused, explained and deleted."""

import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings

from audience.models import Advertiser, Profile, Role
from segments import rulebook
from segments.building import build
from segments.models import Membership, RuleVersion, Segment
from tests.audience.test_api_hostile import mutated
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_profile, make_segment
from tests.segments.asked import viewed

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
NUMBERS = count(1)


def rule(node: dict[str, Any], of: str = "profile") -> dict[str, Any]:
    return {"muster_rule": 1, "of": of, "rule": node}


def views(at_least: int = 1, **more: Any) -> dict[str, Any]:
    return rule({"event": "view", "window": {"within": "7d"}, "count": {"at_least": at_least}, **more})


def new(code: str = "fans", **body: Any) -> dict[str, Any]:
    return {"name": code.title(), "code": code, "kind": "rule", "rule": views(2)} | body


@pytest.fixture(autouse=True)
def empty_book() -> None:
    rulebook.forget()


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser)


@pytest.fixture
def viewer(advertiser: Advertiser) -> Profile:
    """Somebody who has viewed twice."""
    profile = make_profile(advertiser, customer_id="C-1")
    viewed(profile, DAY, 2 * DAY)
    return profile


def made(caller: Caller, code: str = "fans", *, built: bool = True, **body: Any) -> str:
    """Make a segment and return its path; by default its rule is built and serves."""
    answer = caller.post("/segments", new(code, **body))
    assert answer.status_code == 201, answer.content
    if built:
        build(now=timezone.now())
    return f"/segments/{answer.json()['id']}"


def numbers(caller: Caller, path: str) -> list[tuple[int, str]]:
    return [(row["number"], row["state"]) for row in caller.get(f"{path}/versions").json()["results"]]


class TestMaking:
    def test_a_segment_is_made_by_a_rule_and_built(self, caller: Caller, viewer: Profile) -> None:
        answer = caller.post("/segments", new())
        assert answer.status_code == 201
        segment = answer.json()
        assert (segment["kind"], segment["rule"], segment["version"]) == ("rule", views(2), 1)
        assert segment["sentence"] == "Did `view` at least 2 times in the last 7 days"
        assert (segment["build"]["state"], segment["build"]["version"]) == ("building", 1)
        assert segment["freshness"]["serving_version"] is None
        assert segment["size"] == 0

        build(now=timezone.now())
        served = caller.get(f"/segments/{segment['id']}").json()
        assert served["build"] is None
        assert served["freshness"]["serving_version"] == 1
        assert served["freshness"]["complete_since"] <= served["freshness"]["as_of"]
        assert served["size"] == 1
        (member,) = caller.get(f"/segments/{segment['id']}/members").json()["results"]
        assert (member["profile"], member["value"]) == (str(viewer.pk), None)
        assert member["expires_at"] == served["freshness"]["next_change_at"]

    def test_a_list_has_rules_beside_segments_that_pixels_fill(self, caller: Caller) -> None:
        made(caller)
        make_segment(caller.row.advertiser, "cart")
        rows = caller.get("/segments", ordering="name").json()["results"]
        assert [(row["code"], row["version"], row["rule"]) for row in rows] == [
            ("cart", None, None),
            ("fans", 1, views(2)),
        ]
        assert [row["code"] for row in caller.get("/segments", kind="rule").json()["results"]] == ["fans"]

    def test_a_rule_may_be_a_text_whose_numbers_stay_as_they_are_written(self, caller: Caller) -> None:
        text = '{"muster_rule": 1, "of": "profile", "rule": {"attribute": "size", "equals": 0.10000000000000000001}}'
        path = made(caller, rule=text)
        assert "0.10000000000000000001" in caller.get(f"{path}/versions/1").json()["saved"]

    def test_a_refused_rule_is_told_as_validate_tells_it_and_nothing_is_kept(self, caller: Caller) -> None:
        wrong = rule({"all_of": [{"event": "view", "count": {"at_leats": 3}}, {"segment": "vipp", "in": True}]})
        told = caller.post("/rules/validate", {"rule": wrong}).json()["problems"]
        answer = caller.post("/segments", new(rule=wrong))
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid"
        assert answer.json()["problems"] == told
        assert set(answer.json()["fields"]) == {"rule.all_of[0].count.at_leats", "rule.all_of[1].segment"}
        assert "Did you mean 'at_least'?" in answer.json()["message"]
        assert not Segment.all_advertisers.exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"rule": None}, "rule"),
            ({"kind": "pixel"}, "rule"),
            ({"kind": "account"}, "kind"),
            ({"lifetime_minutes": 60}, "lifetime_minutes"),
            ({"write_mode": "open"}, "write_mode"),
            ({"domains": ["shop.example"]}, "domains"),
            ({"code": "two words"}, "code"),
        ],
    )
    def test_what_a_kind_does_not_have_is_refused(self, caller: Caller, body: dict[str, Any], field: str) -> None:
        answer = caller.post("/segments", new(**body))
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {field}

    def test_a_segment_by_a_rule_needs_one(self, caller: Caller) -> None:
        answer = caller.post("/segments", {"name": "Fans", "code": "fans", "kind": "rule"})
        assert answer.json()["fields"] == {"rule": ["A segment of the kind “rule” needs one."]}

    def test_the_second_of_two_alike_is_refused_by_its_code(self, caller: Caller) -> None:
        made(caller)
        answer = caller.post("/segments", new())
        assert answer.status_code == 400
        assert "already" in answer.json()["message"]
        assert RuleVersion.all_advertisers.count() == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=mutated(views(2, where=[{"property": "price", "at_least": 1.5}])))
def test_no_rule_brings_a_failure(caller: Caller, sent: Any) -> None:
    made = caller.post("/segments", json.dumps(new(f"odd-{next(NUMBERS)}", rule=sent)))
    assert made.status_code in (201, 400, 409), made.content
    path = f"/segments/{made.json().get('id', 0)}"
    assert caller.get(path).status_code == (200 if made.status_code == 201 else 404)
    assert caller.delete(path).status_code == (204 if made.status_code == 201 else 404)


class TestEditing:
    def test_another_meaning_is_a_version_that_is_built_beside_the_one_that_serves(
        self, caller: Caller, viewer: Profile
    ) -> None:
        path = made(caller)
        answer = caller.patch(path, {"rule": views(3)}).json()
        assert (answer["rule"], answer["version"]) == (views(3), 2)
        assert (answer["build"]["version"], answer["freshness"]["serving_version"], answer["size"]) == (2, 1, 1)
        build(now=timezone.now())
        assert caller.get(path).json()["size"] == 0
        assert numbers(caller, path) == [(2, "active"), (1, "superseded")]

    def test_the_same_rule_again_and_a_label_make_no_version(self, caller: Caller) -> None:
        path = made(caller)
        read = caller.get(path).json()
        again = caller.patch(path, read)
        assert again.status_code == 200
        labelled = caller.patch(path, {"rule": views(2, label="Fans")}).json()
        assert labelled["rule"]["rule"]["label"] == "Fans"
        assert numbers(caller, path) == [(1, "active")]

    def test_of_two_who_edit_at_once_the_second_learns_of_the_first(self, caller: Caller) -> None:
        path = made(caller, based_on=7)  # nobody can have overtaken one who makes it
        assert caller.patch(path, {"rule": views(3), "based_on": 1}).status_code == 200
        late = caller.patch(path, {"name": "Mine", "rule": views(4), "based_on": 1})
        assert (late.status_code, late.json()["code"]) == (409, "overtaken")
        assert "Version 2 was saved meanwhile" in late.json()["message"]
        assert (caller.get(path).json()["name"], numbers(caller, path)) == ("Fans", [(2, "building"), (1, "active")])
        assert caller.patch(path, {"rule": views(4), "based_on": 2}).json()["version"] == 3

    def test_other_columns_are_edited_and_the_rule_stays(self, caller: Caller) -> None:
        path = made(caller)
        answer = caller.patch(path, {"name": "Loyal", "is_readable_on_page": True}).json()
        assert (answer["name"], answer["is_readable_on_page"], answer["rule"]) == ("Loyal", True, views(2))
        assert numbers(caller, path) == [(1, "active")]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"code": "others"}, "code"),
            ({"rule": None}, "rule"),
            ({"rule": {"muster_rule": 2}}, "muster_rule"),
            ({"rule": rule({"segment": "fans", "in": True})}, "rule.segment"),
            ({"refire": "keep"}, "refire"),
        ],
    )
    def test_what_cannot_be_changed_is_named(self, caller: Caller, body: dict[str, Any], field: str) -> None:
        path = made(caller)
        answer = caller.patch(path, body)
        assert answer.status_code == 400
        assert field in answer.json()["fields"]
        assert numbers(caller, path) == [(1, "active")]

    def test_the_first_rule_says_whether_members_are_profiles_or_accounts(self, caller: Caller) -> None:
        answer = caller.post("/segments", new(rule=rule({"attribute": "size", "equals": 1}, "account")))
        assert (answer.status_code, answer.json()["of"]) == (201, "account")
        changed = caller.patch(f"/segments/{answer.json()['id']}", {"rule": rule({"attribute": "size", "equals": 1})})
        assert changed.status_code == 409

    def test_the_code_that_a_rule_names_stays(self, caller: Caller) -> None:
        cart = make_segment(caller.row.advertiser, "cart")
        made(caller, "buyers", rule=rule({"segment": "cart", "in": True}))
        answer = caller.patch(f"/segments/{cart.pk}", {"code": "basket"})
        assert answer.json()["fields"] == {
            "code": ["“Buyers” use “cart” in their rules. Change them first."],
        }

    def test_a_switch_that_falls_between_reading_and_writing_is_not_undone(
        self, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = made(caller)
        caller.patch(path, {"rule": views(1)})
        check = Segment.full_clean

        def switched_meanwhile(segment: Segment, *arguments: Any, **options: Any) -> None:
            check(segment, *arguments, **options)
            build(now=timezone.now())

        monkeypatch.setattr(Segment, "full_clean", switched_meanwhile)
        caller.patch(path, {"name": "Loyal"})
        assert caller.get(path).json()["freshness"]["serving_version"] == 2


class TestVersions:
    def test_a_version_is_read_with_what_it_changed(self, caller: Caller) -> None:
        path = made(caller)
        caller.patch(path, {"rule": views(3)})
        (second, first) = caller.get(f"{path}/versions").json()["results"]
        assert second["sentence"] == "Did `view` at least 3 times in the last 7 days"
        assert (second["author"], second["failure"], first["state"]) == (None, None, "active")

        read = caller.get(f"{path}/versions/2").json()
        assert (read["rule"], json.loads(read["saved"])) == (views(3), views(3))
        assert [line for line in read["diff"] if line[0] in "+-"] == [
            "--- version 1",
            "+++ version 2",
            '-  "rule": {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 2}}',
            '+  "rule": {"event": "view", "window": {"within": "7d"}, "count": {"at_least": 3}}',
        ]
        assert caller.get(f"{path}/versions/1").json()["diff"] == []

    def test_versions_come_in_pages_and_none_stands_in_for_another(self, caller: Caller) -> None:
        path = made(caller)
        for number in (3, 4):
            caller.patch(path, {"rule": views(number)})
        page = caller.get(f"{path}/versions", limit=2).json()
        rest = caller.get(f"{path}/versions", limit=2, cursor=page["next_cursor"]).json()
        assert [row["number"] for row in page["results"] + rest["results"]] == [3, 2, 1]
        for number in (0, 4, 2**31, 10**30):
            assert caller.get(f"{path}/versions/{number}").status_code == 404

    def test_an_earlier_rule_is_used_again_as_a_new_version_once(self, caller: Caller) -> None:
        path = made(caller)
        caller.patch(path, {"rule": views(3)})
        for _ in range(2):
            answer = caller.post(f"{path}/versions/1/use")
            assert answer.status_code == 200
            assert (answer.json()["rule"], answer.json()["version"]) == (views(2), 3)

    def test_an_earlier_rule_that_means_nothing_any_more_is_refused(self, caller: Caller) -> None:
        cart = make_segment(caller.row.advertiser, "cart")
        path = made(caller, rule=rule({"segment": "cart", "in": True}))
        caller.patch(path, {"rule": views(3)})
        build(now=timezone.now())
        assert caller.delete(f"/segments/{cart.pk}").status_code == 204
        answer = caller.post(f"{path}/versions/1/use")
        assert answer.status_code == 400
        assert [problem["code"] for problem in answer.json()["problems"]] == ["no_segment"]


class TestBuilding:
    def test_a_build_is_stopped_and_goes_on(self, caller: Caller, viewer: Profile) -> None:
        path = made(caller, built=False)
        for _ in range(2):
            assert caller.post(f"{path}/build/stop").json()["build"]["state"] == "stopped"
        build(now=timezone.now())
        assert caller.get(path).json()["freshness"]["serving_version"] is None
        for _ in range(2):
            assert caller.post(f"{path}/build/resume").json()["build"]["state"] == "building"
        build(now=timezone.now())
        assert caller.get(path).json()["size"] == 1

    def test_a_failed_build_says_why_and_is_tried_again(self, caller: Caller) -> None:
        path = made(caller)
        caller.patch(path, {"rule": views(3)})
        RuleVersion.all_advertisers.filter(number=2).update(rule='{"muster_rule": 2}')
        build(now=timezone.now())
        failed = caller.get(path).json()
        assert (failed["build"]["state"], failed["build"]["version"]) == ("failed", 2)
        assert "muster_rule" in failed["build"]["message"]
        assert (failed["version"], failed["freshness"]["serving_version"]) == (1, 1)
        assert caller.patch(path, {"rule": failed["rule"], "based_on": failed["version"]}).status_code == 200

        RuleVersion.all_advertisers.filter(number=2).update(rule=json.dumps(views(3)))
        assert caller.post(f"{path}/build/retry").json()["build"]["state"] == "building"
        build(now=timezone.now())
        assert numbers(caller, path) == [(3, "active"), (2, "failed"), (1, "superseded")]

    @pytest.mark.parametrize(
        ("what", "code"), [("stop", "not_building"), ("resume", "not_building"), ("retry", "not_failed")]
    )
    def test_there_is_nothing_to_do_to_what_is_built(self, caller: Caller, what: str, code: str) -> None:
        answer = caller.post(f"{made(caller)}/build/{what}")
        assert (answer.status_code, answer.json()["code"]) == (409, code)

    @pytest.mark.parametrize("path", ["/versions", "/versions/1", "/why"])
    def test_a_segment_that_pixels_fill_has_no_rule(self, caller: Caller, path: str) -> None:
        segment = make_segment(caller.row.advertiser)
        answer = caller.get(f"/segments/{segment.pk}{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_rule")


class TestPausing:
    def test_a_paused_segment_takes_nobody_in_until_it_is_built_anew(self, caller: Caller, viewer: Profile) -> None:
        path = made(caller)
        for _ in range(2):
            paused = caller.patch(path, {"is_active": False}).json()
            assert (paused["is_active"], paused["size"]) == (False, 1)
        late = make_profile(caller.row.advertiser)
        viewed(late, DAY, 2 * DAY)
        refused = caller.patch(path, {"rule": views(1)})
        assert (refused.status_code, refused.json()["message"]) == (409, "The segment is paused. Resume it first.")
        assert caller.get(f"{path}/why", profile=str(late.pk)).json()["code"] == "paused"

        anybody = rule({"event": "view"})
        resumed = caller.patch(path, {"is_active": True, "rule": anybody}).json()
        assert (resumed["is_active"], resumed["rule"], resumed["build"]["state"]) == (True, anybody, "building")
        build(now=timezone.now())
        assert caller.get(path).json()["size"] == 2


class TestMembers:
    def test_nobody_is_put_in_or_taken_out_by_hand(self, caller: Caller, viewer: Profile) -> None:
        path = made(caller)
        known = {"identifier": {"kind": "customer_id", "value": "C-1"}}
        answer = caller.post(f"{path}/members", {"add": [known], "remove": [known | {}]})
        results = answer.json()["results"]
        assert {result["outcome"] for result in results if result["do"] == "remove"} == {"rejected"}
        assert results[-1]["reason"] == "wrong_kind"
        assert results[-1]["message"] == "Members of a rule segment follow from its rule."
        assert Membership.all_advertisers.count() == 1


class TestWhy:
    def test_somebody_is_explained_by_the_version_that_serves(self, caller: Caller, viewer: Profile) -> None:
        path = made(caller)
        caller.patch(path, {"rule": views(3)})
        answer = caller.get(f"{path}/why", kind="customer_id", value="C-1").json()
        assert answer["sentence"].startswith("In. Leaves on ")
        assert (answer["version"], answer["profile"], answer["is_in"]) == (1, str(viewer.pk), True)
        assert answer["why"]["actual"].startswith("2 times")
        last = answer["last_transition"]
        assert (last["type"], last["cause"]["kind"], last["cause"]["versions"]) == ("segment.joined", "edit", [0, 1])
        assert last["decided_by"] == [], "the rule as a whole did"
        by_id = caller.get(f"{path}/why", profile=str(viewer.pk)).json()
        assert by_id["why"] == answer["why"]

    def test_who_was_never_in_has_no_transition(self, caller: Caller) -> None:
        stranger = make_profile(caller.row.advertiser)
        answer = caller.get(f"{made(caller)}/why", profile=str(stranger.pk)).json()
        assert (answer["is_in"], answer["last_transition"]) == (False, None)

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"kind": "email"},
            {"profile": "C-1"},
            {"profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11", "kind": "email", "value": "jo@example.com"},
            {"kind": "email", "value": "jo"},
        ],
    )
    def test_somebody_has_to_be_named(self, caller: Caller, query: dict[str, str]) -> None:
        assert caller.get(f"{made(caller)}/why", **query).status_code == 400

    def test_before_the_first_version_serves_nobody_is_explained(self, caller: Caller, viewer: Profile) -> None:
        answer = caller.get(f"{made(caller, built=False)}/why", profile=str(viewer.pk))
        assert (answer.status_code, answer.json()["code"]) == (409, "not_built")


class TestDeleting:
    def test_what_others_use_stays_and_they_are_named(self, caller: Caller) -> None:
        fans = made(caller)
        made(caller, "buyers", rule=rule({"segment": "fans", "in": True}))
        answer = caller.delete(fans)
        assert (answer.status_code, answer.json()["code"]) == (409, "still_used")
        assert "“Buyers”" in answer.json()["message"]
        assert caller.get(fans).json()["used_by"] == [
            {"kind": "segment", "name": "Buyers", "does": "asks for it in its rule"}
        ]

    def test_a_deleted_segment_is_gone_with_all_that_it_had(self, caller: Caller) -> None:
        path = made(caller)
        assert caller.delete(path).status_code == 204
        for below in ("", "/versions", "/versions/1", "/why", "/transitions", "/members"):
            assert caller.get(f"{path}{below}").status_code == 404


class TestTenancy:
    """What another advertiser has is what never was, in addresses, in bodies and in the names inside of a rule."""

    @pytest.fixture
    def theirs(self) -> str:
        """A segment by a rule of somebody else, with a segment `secret` beside it."""
        stranger = make_advertiser(name="canary Ltd")
        make_segment(stranger, "secret", name="canary")
        return made(make_caller(stranger), "canary")

    @pytest.mark.spec("T15")
    @pytest.mark.parametrize("code", ["secret", "canary"])
    def test_a_segment_named_in_a_rule(self, caller: Caller, theirs: str, code: str) -> None:
        path = made(caller)

        def told(named: str) -> list[str]:
            asked = rule({"any_of": [{"segment": named, "in": True}, {"not": {"segment": [named], "in": True}}]})
            answers = [
                caller.post("/segments", new("mine", rule=asked)),
                caller.patch(path, {"rule": asked}),
                caller.post("/rules/validate", {"rule": asked}),
                caller.post("/rules/preview", {"rule": asked}),
            ]
            return [f"{answer.status_code} {answer.content.decode().replace(named, 'NAMED')}" for answer in answers]

        assert told(code) == told("n" * len(code))
        assert numbers(caller, path) == [(1, "active")]

    @pytest.mark.spec("T15")
    def test_the_addresses_of_a_segment(self, caller: Caller, theirs: str) -> None:
        for path in ("/versions", "/versions/1", "/transitions", "/why"):
            assert caller.get(f"{theirs}{path}").status_code == 404
        for path in ("/versions/1/use", "/build/stop", "/build/resume", "/build/retry"):
            assert caller.post(f"{theirs}{path}").status_code == 404
        assert caller.patch(theirs, {"rule": views(9)}).status_code == 404
        assert RuleVersion.all_advertisers.count() == 1

    @pytest.mark.spec("T15")
    def test_somebody_elses_people(self, caller: Caller, theirs: str) -> None:
        person = make_profile(Advertiser.objects.get(name="canary Ltd"), customer_id="canary-1")
        path = made(caller)
        assert caller.get(f"{path}/why", profile=str(person.pk)).status_code == 404
        assert caller.get(f"{path}/why", kind="customer_id", value="canary-1").status_code == 404


@pytest.mark.parametrize("role", Role)
def test_who_reads_and_who_writes(caller: Caller, viewer: Profile, role: Role) -> None:
    path = made(caller)
    other = make_caller(caller.row.advertiser, role, people=False)
    may_write = role != Role.VIEWER
    assert other.get(path).json()["rule"] == views(2)
    assert other.get(f"{path}/versions/1").status_code == 200
    assert (other.patch(path, {"rule": views(2)}).status_code == 200) == may_write
    assert (other.post(f"{path}/versions/1/use").status_code == 200) == may_write
    assert (other.post(f"{path}/build/stop").status_code == 403) != may_write
    assert other.get(f"{path}/why", profile=str(viewer.pk)).status_code == 403
