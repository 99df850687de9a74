"""What other systems tell of people and companies by the API, and read back."""

from typing import Any

import pytest
from django.test import override_settings

from audience.models import Account, AccountMember, Advertiser, Attribute, Identifier, Profile
from tests.audience.messages import Sender
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_profile, make_segment

pytestmark = pytest.mark.django_db

JO = {"kind": "email", "value": "jo@example.com"}
CUSTOMER = {"kind": "customer_id", "value": "C-1"}


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser)


def tell(caller: Caller, *people: tuple[dict[str, str], Any]) -> Any:
    """Tell attributes of people; return the answer."""
    items = [{"identifier": identifier, "attributes": attributes} for identifier, attributes in people]
    return caller.post("/profiles/attributes", {"profiles": items})


def tell_accounts(caller: Caller, **accounts: Any) -> Any:
    items = [{"key": key, "attributes": attributes} for key, attributes in accounts.items()]
    return caller.post("/accounts/attributes", {"accounts": items})


def attributes(caller: Caller, identifier: dict[str, str]) -> dict[str, Any]:
    """Return what is known of somebody, by name."""
    known = caller.post("/profiles/find", identifier).json()["attributes"]
    return {one["name"]: one for one in known}


def values(caller: Caller, identifier: dict[str, str]) -> dict[str, Any]:
    return {name: one["value"] for name, one in attributes(caller, identifier).items()}


def reasons(answer: Any) -> list[str | None]:
    assert answer.status_code == 200, answer.content
    return [result["reason"] for result in answer.json()["results"]]


class TestAttributesOfPeople:
    def test_they_are_kept_and_what_is_not_sent_stays(self, caller: Caller) -> None:
        assert tell(caller, (CUSTOMER, {"plan": "free", "seats": [1, 2]})).json()["applied"] == 1
        assert reasons(tell(caller, (CUSTOMER, {"plan": "gold"}))) == [None]

        assert values(caller, CUSTOMER) == {"plan": "gold", "seats": [1, 2]}
        plan = attributes(caller, CUSTOMER)["plan"]
        assert (plan["message"], plan["write_key"]) == ("api", None)

    def test_told_again_a_value_keeps_since_when_it_is_so(self, caller: Caller) -> None:
        tell(caller, (CUSTOMER, {"plan": "gold"}))
        first = attributes(caller, CUSTOMER)["plan"]
        tell(caller, (CUSTOMER, {"plan": "gold"}))
        again = attributes(caller, CUSTOMER)["plan"]
        assert again["since"] == first["since"]
        assert again["seen_at"] > first["seen_at"]

    def test_of_two_in_one_call_the_later_counts(self, caller: Caller) -> None:
        tell(caller, (CUSTOMER, {"plan": "free"}), (CUSTOMER, {"plan": "gold"}))
        assert values(caller, CUSTOMER) == {"plan": "gold"}

    def test_they_meet_what_messages_told(self, caller: Caller, advertiser: Advertiser) -> None:
        sender = Sender(advertiser)  # type: ignore[no-untyped-call]
        sender.send("browser:1", "customer_id:C-1", kind="identify", traits={"plan": "free", "city": "Ulm"})
        tell(caller, (CUSTOMER, {"plan": "gold"}))
        assert values(caller, CUSTOMER) == {"plan": "gold", "city": "Ulm"}
        assert Profile.all_advertisers.count() == 1

    def test_an_email_among_them_is_no_identifier(self, caller: Caller) -> None:
        tell(caller, (CUSTOMER, {"email": "jo@example.com"}))
        assert [row.kind for row in Identifier.all_advertisers.all()] == ["customer_id"]

    def test_one_that_is_refused_holds_back_no_other(self, caller: Caller, advertiser: Advertiser) -> None:
        deep: Any = 1
        for _ in range(6):
            deep = [deep]
        answer = tell(
            caller,
            ({"kind": "email", "value": "nobody"}, {"plan": "gold"}),
            ({"kind": "browser", "value": "ab" * 16}, {"plan": "gold"}),
            (CUSTOMER, {"list": deep}),
            (CUSTOMER, {str(number): number for number in range(256)}),
            (CUSTOMER, {"text": "x" * 8193}),
            (CUSTOMER, {"texts": ["x" * 8192] * 5}),
            (JO, {"plan": "gold", "nothing": None, "odd": "a\0b"}),
        )
        body = answer.json()
        assert (body["applied"], body["rejected"]) == (1, 6)
        assert reasons(answer) == [
            "bad_identifier",
            "unknown_browser",
            "too_deep",
            "too_many_properties",
            "too_large",
            "too_large",
            None,
        ]
        assert values(caller, JO) == {"plan": "gold", "nothing": None, "odd": "a\ufffdb"}
        assert Profile.all_advertisers.count() == 1
        assert all(result["message"] for result in body["results"][:6])

    def test_a_browser_that_there_is_can_be_told_of(self, caller: Caller, advertiser: Advertiser) -> None:
        browser = {"kind": "browser", "value": "ab" * 16}
        make_profile(advertiser, browser=browser["value"])
        assert reasons(tell(caller, (browser, {"plan": "gold"}))) == [None]
        assert values(caller, browser) == {"plan": "gold"}

    @override_settings(MUSTER_ATTRIBUTES_PER_ADVERTISER=1)
    def test_there_is_room_for_so_many_names(self, caller: Caller) -> None:
        assert reasons(tell(caller, (CUSTOMER, {"a": 1}), (JO, {"b": 1}))) == [None, "too_many_properties"]
        assert reasons(tell_accounts(caller, ACME={"a": 1}, Bolt={"b": 1})) == [
            None,
            "too_many_properties",
        ]
        assert [row.key for row in Account.all_advertisers.all()] == ["ACME"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "profiles"),
            ({"profiles": []}, "profiles"),
            ({"profiles": [{"identifier": JO, "attributes": {}}] * 1001}, "profiles"),
            ({"profiles": [{"identifier": JO}]}, "profiles.0.attributes"),
            ({"profiles": [{"identifier": JO, "attributes": ["plan"]}]}, "profiles.0.attributes"),
            ({"profiles": [{"attributes": {}}]}, "profiles.0.identifier"),
            ({"profiles": [{"identifier": JO, "attributes": {}, "at": "now"}]}, "profiles.0.at"),
        ],
    )
    def test_a_body_of_another_shape_changes_nothing(self, caller: Caller, body: Any, field: str) -> None:
        answer = caller.post("/profiles/attributes", body)
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {field}
        assert Profile.all_advertisers.count() == 0

    def test_a_thousand_in_a_call(self, caller: Caller) -> None:
        people = [({"kind": "customer_id", "value": f"C-{number}"}, {"n": number}) for number in range(1000)]
        assert tell(caller, *people).json()["applied"] == 1000
        assert Attribute.all_advertisers.count() == 1000


def test_the_id_of_a_profile_that_went_into_another_leads_there(caller: Caller, advertiser: Advertiser) -> None:
    sender = Sender(advertiser)  # type: ignore[no-untyped-call]
    sender.send("browser:1", event="page")
    gone = Profile.all_advertisers.get().pk
    sender.send(None, "customer_id:C-1")
    sender.send("browser:1", "customer_id:C-1")

    stays = Profile.all_advertisers.get().pk
    assert caller.get(f"/profiles/{gone}").json()["id"] == str(stays) != str(gone)
    assert len(caller.get(f"/profiles/{gone}/events").json()["results"]) == 3
    assert make_caller(make_advertiser()).get(f"/profiles/{gone}").status_code == 404


class TestAccounts:
    def test_they_are_made_found_and_read(self, caller: Caller) -> None:
        assert reasons(tell_accounts(caller, ACME={"industry": "retail"}, Bolt={})) == [None, None]
        tell_accounts(caller, ACME={"seats": 40})
        (found,) = caller.get("/accounts", key="ACME").json()["results"]
        assert set(found) == {"id", "key", "first_seen_at", "last_seen_at"}
        read = caller.get(f"/accounts/{found['id']}").json()
        assert {one["name"]: one["value"] for one in read["attributes"]} == {"industry": "retail", "seats": 40}
        assert {one["message"] for one in read["attributes"]} == {"api"}
        for other in ("Other", "", " ", "x" * 1000):
            assert caller.get("/accounts", key=other).json()["results"] == []

    def test_a_group_call_means_the_same_account(self, caller: Caller, advertiser: Advertiser) -> None:
        tell_accounts(caller, ACME={"industry": "retail"})
        Sender(advertiser).send(None, "customer_id:C-1", kind="group", account="ACME", traits={"seats": 40})  # type: ignore[no-untyped-call]
        (found,) = caller.get("/accounts").json()["results"]
        assert len(caller.get(f"/accounts/{found['id']}").json()["attributes"]) == 2

    def test_pages_hold_each_account_once(self, caller: Caller) -> None:
        tell_accounts(caller, **{f"A-{number}": {} for number in range(7)})
        query: dict[str, Any] = {"limit": 3}
        read = []
        while True:
            page = caller.get("/accounts", **query).json()
            read += [row["key"] for row in page["results"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert sorted(read) == [f"A-{number}" for number in range(7)]

    @pytest.mark.parametrize("key", ["", " ", "x" * 321, None, "a\0b", ["ACME"]])
    def test_a_key_is_a_text(self, caller: Caller, key: Any) -> None:
        answer = caller.post("/accounts/attributes", {"accounts": [{"key": key, "attributes": {}}]})
        assert set(answer.json()["fields"]) == {"accounts.0.key"}
        assert Account.all_advertisers.count() == 0

    def test_one_that_is_refused_holds_back_no_other(self, caller: Caller) -> None:
        assert reasons(tell_accounts(caller, ACME={"text": "x" * 8193}, Bolt={"seats": 1})) == ["too_large", None]
        assert [row.key for row in Account.all_advertisers.all()] == ["Bolt"]


class TestPeopleOfAnAccount:
    @pytest.fixture
    def path(self, caller: Caller) -> str:
        tell_accounts(caller, ACME={})
        return f"/accounts/{Account.all_advertisers.get().pk}/people"

    def known(self, caller: Caller, path: str) -> list[str]:
        """Return whom the account has, by their first identifier."""
        return sorted(row["identifiers"][0]["value"] for row in caller.get(path).json()["results"])

    def test_they_are_put_in_and_taken_out(self, caller: Caller, path: str) -> None:
        both = [{"identifier": JO}, {"identifier": CUSTOMER}]
        assert reasons(caller.post(path, {"add": both})) == [None, None]
        assert self.known(caller, path) == ["C-1", "jo@example.com"]
        assert caller.post("/profiles/find", JO).json()["accounts"][0]["account"] == "ACME"

        assert reasons(caller.post(path, {"remove": [{"identifier": JO}]})) == [None]
        assert self.known(caller, path) == ["C-1"]
        assert reasons(caller.post(path, {"remove": [{"identifier": JO}]})) == [None]

    def test_put_in_again_somebody_belongs_since_the_first_time(self, caller: Caller, path: str) -> None:
        caller.post(path, {"add": [{"identifier": JO}]})
        since = AccountMember.all_advertisers.get().since
        caller.post(path, {"add": [{"identifier": JO}]})
        assert AccountMember.all_advertisers.get().since == since

    def test_who_is_named_in_both_ways_is_taken_out(self, caller: Caller, path: str) -> None:
        answer = caller.post(path, {"add": [{"identifier": JO}], "remove": [{"identifier": JO}]})
        assert reasons(answer) == [None, None]
        assert [(one["do"], one["index"]) for one in answer.json()["results"]] == [("add", 0), ("remove", 0)]
        assert self.known(caller, path) == []

    def test_nobody_is_made_to_be_taken_out(self, caller: Caller, path: str) -> None:
        browser = {"identifier": {"kind": "browser", "value": "ab" * 16}}
        body = {"add": [browser, {"identifier": JO}], "remove": [{"identifier": CUSTOMER}]}
        assert reasons(caller.post(path, body)) == ["unknown_browser", None, "unknown_identifier"]
        assert Profile.all_advertisers.count() == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "body"),
            ({"add": [{"identifier": JO}] * 1001}, "body"),
            ({"add": [{"value": "x"}]}, "add.0.value"),
            ({"people": []}, "people"),
        ],
    )
    def test_a_body_of_another_shape_changes_nothing(self, caller: Caller, path: str, body: Any, field: str) -> None:
        answer = caller.post(path, body)
        assert answer.status_code == 400
        assert field in answer.json()["fields"]
        assert AccountMember.all_advertisers.count() == 0

    def test_an_account_of_another_advertiser_is_none(self, path: str) -> None:
        other = make_caller(make_advertiser())
        assert other.get(path).status_code == 404
        assert other.post(path, {"add": [{"identifier": JO}]}).status_code == 404
        assert Profile.all_advertisers.count() == 0


def test_a_phone_number_without_a_country_code_is_of_the_advertisers_country(
    caller: Caller, advertiser: Advertiser
) -> None:
    national, whole = ({"kind": "phone", "value": value} for value in ("089 123456", "+49 89 123456"))
    assert reasons(tell(caller, (national, {"plan": "gold"}))) == ["bad_identifier"]
    assert caller.post("/profiles/find", national).status_code == 400

    advertiser.phone_country = "DE"
    advertiser.save()
    assert reasons(tell(caller, (national, {"plan": "gold"}))) == [None]
    assert values(caller, national) == values(caller, whole) == {"plan": "gold"}
    segment = make_segment(advertiser)
    both = {"add": [{"identifier": whole}], "remove": [{"identifier": national}]}
    first, _ = caller.post(f"/segments/{segment.pk}/members", both).json()["results"]
    assert first["notes"] == ["remove_wins"]
