"""Rules about accounts, and rules about people that ask about their accounts: who wakes them, and who joins."""

from uuid import UUID

import pytest

from audience.accounts import account_id
from audience.models import Account, AccountMember
from audience.tenancy import acting_for
from audience.upserts import Link, OfAccount, change_people, tell_of_accounts
from segments import building, counts, recount, rulebook
from segments.building import drop_superseded
from segments.members import Ask, change_members
from segments.models import AccountMembership, RuleVersion, WaitingAccount
from segments.retention import forget_passers_by
from segments.versions import NotAllowed, pause, resume
from segments.waiting import ask_waiting
from tests.admins import at_work
from tests.callers import make_caller
from tests.factories import make_segment
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.asking import rule_text
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

BUY = {"event": "buy", "window": {"within": "30d"}}
SPENT = {"event": "buy", "window": {"within": "7d"}, "sum": {"of": "total", "at_least": 100}}
RETAIL = {"attribute": "industry", "equals": "retail"}


@pytest.fixture
def shop():
    return Shop()


def join(shop, when, *people, account="ACME"):
    """Let people say that they belong to an account."""
    for who in people:
        shop.track(who, "", when, account=account)


def account(shop, key="ACME"):
    with acting_for(shop.advertiser.pk):
        return Account.objects.select_related("advertiser").get(pk=UUID(bytes=account_id(shop.advertiser.pk, key)))


def change(shop, when, **links):
    """Put people among those of the account by the API, or take them out."""
    change_people(account(shop), [Link(do, "customer_id", who) for do, who in links.items()], at=at(when))


def rule(node):
    return rule_text(node, of="account")


def tell(shop, when, **told):
    tell_of_accounts(shop.advertiser, [OfAccount("ACME", told)], at=at(when))


def test_69_what_its_people_did_counts_together(shop):
    segment = shop.segment("spenders", SPENT, of="account")
    join(shop, "04-30", "u1", "u2")
    shop.track("u1", "buy", "05-01 10:00", total=60)
    assert shop.members(segment, "05-01 10:00") == 0

    shop.track("u2", "buy", "05-02 10:00", total=50)
    sweep_at("05-09")
    assert shop.steps(segment) == steps("join 05-02 10:00 fact, leave 05-08 10:00 time")


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ("any", "join 05-01 10:00 fact, leave 06-05 10:00 time"),
        ("all", "join 05-06 10:00 fact, leave 05-31 10:00 time"),
        ({"at_least": 2}, "join 05-06 10:00 fact, leave 05-31 10:00 time"),
        ("none", "join 04-30 00:00 fact, leave 05-01 10:00 fact, join 06-05 10:00 time"),
    ],
)
def test_68_how_many_of_its_people_pass(people, expected, shop):
    segment = shop.segment("buyers", {"people": people, "who": BUY}, of="account")
    join(shop, "04-30", "u1", "u2")
    shop.track("u1", "buy", "05-01 10:00")
    shop.track("u2", "buy", "05-06 10:00")
    sweep_at("06-10")
    assert shop.steps(segment) == steps(expected)


def test_what_the_api_tells_of_an_account_wakes_its_rules_and_those_of_its_people(shop):
    accounts = shop.segment("shops", RETAIL, of="account")
    people = shop.segment("of-shops", {"account": RETAIL})
    join(shop, "04-30", "u1", "u2")
    tell(shop, "05-01", industry="retail")
    tell(shop, "05-02", seats=4)
    tell(shop, "05-03", industry="banking")
    assert shop.steps(accounts) == steps("join 05-01 00:00:00.000001 fact, leave 05-03 00:00:00.000001 fact")
    assert shop.steps(people) == [step for step in shop.steps(accounts) for _ in range(2)]


def test_a_new_account_is_asked_about_whatever_is_told_of_it(shop):
    segment = shop.segment("no-shops", {"not": RETAIL}, of="account")
    tell(shop, "05-01", seats=4)
    assert shop.members(segment, "05-02") == 1


def test_who_comes_and_who_goes_changes_the_answer(shop):
    accounts = shop.segment("buyers", {"people": "any", "who": BUY}, of="account")
    colleagues = shop.segment("with-buyers", {"account": {"people": {"at_least": 1}, "who": BUY}})
    join(shop, "04-30", "u1")
    shop.track("customer_id:C1", "buy", "05-01")
    change(shop, "05-02", add="C1")
    change(shop, "05-03", remove="C1")
    assert shop.steps(accounts) == steps("join 05-02 fact, leave 05-03 fact")
    assert shop.steps(colleagues) == steps("join 05-02 fact, join 05-02 fact, leave 05-03 fact, leave 05-03 fact")


def test_a_fact_of_one_moves_all_colleagues_in_its_transaction(shop):
    segment = shop.segment("with-buyers", {"account": {"people": "any", "who": BUY}})
    join(shop, "04-30", "u1", "u2", "u3")
    join(shop, "04-30", "u4", account="OTHER")
    assert shop.track("u1", "buy", "05-01").moves == ((segment.pk,), ())
    assert shop.members(segment, "05-01") == 3


def test_a_fact_that_only_its_own_person_feels_asks_about_no_colleague(shop):
    segment = shop.segment("buyers-of-shops", {"all_of": [BUY, {"account": RETAIL}]})
    join(shop, "04-30", "u1", "u2")
    tell(shop, "05-01", industry="retail")
    (entry,) = rulebook.refresh()[shop.advertiser.pk].entries
    assert (entry.felt_by_others.events, entry.touched.events) == (frozenset(), {"buy"})
    shop.track("u1", "buy", "05-02")
    assert shop.members(segment, "05-02") == 1


def test_the_membership_of_a_person_wakes_the_rules_of_the_account(shop):
    x = make_segment(shop.advertiser, code="x")
    segment = shop.segment("with-x", {"people": "any", "who": {"segment": "x", "in": True}}, of="account")
    join(shop, "04-30", "customer_id:C1")
    for do, when in (("add", "05-01"), ("remove", "05-02")):
        change_members(x, [Ask(do, "customer_id", "C1")], at=at(when))
    assert shop.steps(segment) == steps("join 05-01 segment, leave 05-02 segment")


def test_segments_of_accounts_use_each_other_and_people_ask_about_them(shop):
    shop.segment("buyers", {"people": "any", "who": BUY}, of="account")
    fresh = shop.segment("fresh", {"segment": "buyers", "joined": {"within": "7d"}}, of="account")
    people = shop.segment("of-buyers", {"account": {"segment": "buyers", "in": True}})
    join(shop, "04-30", "u1", "u2")
    shop.track("u1", "buy", "05-01")
    sweep_at("06-10")
    assert shop.steps(fresh) == steps("join 05-01 fact, leave 05-08 time")
    assert shop.steps(people) == steps("join 05-01 fact, join 05-01 fact, leave 05-31 time, leave 05-31 time")


def test_a_merge_brings_what_one_did_to_the_account_of_the_other(shop):
    segment = shop.segment("spenders", SPENT, of="account")
    join(shop, "04-30", "u1")
    shop.track("u1", "buy", "05-01 10:00", total=60)
    shop.track("email:q@example.com", "buy", "05-01 11:00", total=60)
    shop.track("u1", "", "05-02", proven=["email:q@example.com"])
    assert shop.steps(segment) == steps("join 05-02 merge")


def test_everybody_is_built_and_an_edit_switches(shop):
    join(shop, "04-30", "u1")
    join(shop, "04-30", "u2", account="OTHER")
    shop.track("u1", "buy", "05-01", total=120)
    shop.track("u2", "buy", "05-01", total=60)
    segment = shop.segment("spenders", SPENT, live="05-02", of="account")
    assert shop.steps(segment) == steps("join 05-02 edit")

    cheaper = SPENT | {"sum": {"of": "total", "at_least": 50}}
    shop.edit(segment, rule(cheaper), live="05-03")
    assert shop.steps(segment) == steps("join 05-02 edit, join 05-03 edit")
    assert counts.size(segment, at("05-07")) == 2
    assert counts.size(segment, at("05-08")) == 0, "they are out before the sweeper comes"
    assert shop.members(segment, "05-07") == 2
    sweep_at("05-09")
    assert not list(recount.differences(at("05-09")))
    drop_superseded()
    assert set(AccountMembership.all_advertisers.values_list("version", flat=True)) == {2}


def test_an_edit_takes_people_and_accounts_along_that_use_it(shop):
    views = {"event": "view", "window": {"within": "30d"}}
    fans = shop.segment("fans", views | {"count": {"at_least": 2}})
    with_fans = shop.segment("with-fans", {"people": "any", "who": {"segment": "fans", "in": True}}, of="account")
    of_fans = shop.segment("of-fans", {"account": {"segment": "with-fans", "in": True}})
    join(shop, "04-30", "u1", "u2")
    shop.views("u1", "05-01")
    shop.edit(fans, views, live="05-02")
    for segment, many in ((fans, 1), (with_fans, 1), (of_fans, 2)):
        assert shop.steps(segment) == steps("join 05-02 edit") * many


def test_a_paused_segment_of_accounts_is_read_from_its_rows(shop):
    segment = shop.segment("buyers", {"people": "any", "who": BUY}, of="account")
    user = shop.segment("of-buyers", {"account": {"segment": "buyers", "in": True}})
    join(shop, "04-30", "u1")
    shop.track("u1", "buy", "05-01")
    pause(segment, at=at("05-02"))
    shop.build("05-02")
    shop.track("u1", "buy", "05-20")
    sweep_at("06-02")
    resume(segment, at=at("06-03"))
    shop.build("06-03")
    assert shop.steps(segment) == shop.steps(user) == steps("join 05-01 fact, leave 05-31 time, join 06-03 edit")


def test_what_a_segment_has_for_members_never_changes(shop):
    segment = shop.segment("buyers", BUY)
    with pytest.raises(NotAllowed, match="profiles, for ever"):
        shop.edit(segment, rule(SPENT))


def test_a_large_account_is_asked_about_by_the_sweeper(shop, settings):
    settings.MUSTER_ACCOUNT_PEOPLE = 2
    accounts = shop.segment("buyers", {"people": "any", "who": BUY}, of="account")
    people = shop.segment("with-buyers", {"account": {"people": "any", "who": BUY}})
    join(shop, "04-30", "u1", "u2")
    shop.track("u1", "buy", "05-01")
    assert (shop.members(accounts, "05-01"), shop.members(people, "05-01")) == (1, 2)

    join(shop, "05-01", "u3", account="LARGE")
    join(shop, "05-01", "u4", "u5", account="LARGE")
    shop.track("u4", "buy", "05-02")
    assert (shop.members(accounts, "05-02"), shop.members(people, "05-02")) == (1, 3), "the buyer, at once"
    ask_waiting(at("05-02 00:05"))
    assert (shop.members(accounts, "05-02 00:05"), shop.members(people, "05-02 00:05")) == (2, 5)
    assert not WaitingAccount.all_advertisers.exists()


def test_whoever_is_forgotten_belongs_to_the_account_no_longer(shop):
    segment = shop.segment("teams", {"people": {"at_least": 2}}, of="account")
    join(shop, "04-01", "u1", "u2")
    shop.track("u1", "view", "04-01", context={"source": {"medium": "cpc"}})
    shop.views("u2", "05-05")
    forget_passers_by(at("05-06"))
    assert AccountMember.all_advertisers.count() == 1
    ask_waiting(at("05-06"))
    assert shop.steps(segment) == steps("join 04-01 fact, leave 05-06 fact")


def test_the_api_lists_the_accounts_of_a_segment(shop):
    segment = shop.segment("teams", {"people": "any"}, of="account")
    people = shop.segment("viewers", {"event": "view"})
    join(shop, "04-30", "u1")
    caller = make_caller(shop.advertiser)
    assert caller.get(f"/segments/{segment.pk}").json()["of"] == "account"

    (row,) = caller.get(f"/segments/{segment.pk}/accounts").json()["results"]
    assert row == {
        "account": str(account(shop).pk),
        "key": "ACME",
        "starts_at": "2026-04-30T00:00:00Z",
        "expires_at": None,
    }
    for path in (f"/segments/{segment.pk}/members", f"/segments/{people.pk}/accounts"):
        assert caller.get(path).json()["results"] == []


def test_the_page_of_an_account_says_where_it_is_and_how_soon_rules_hear(shop, settings):
    shop.segment("teams", {"people": "any"}, of="account")
    join(shop, "04-30", "u1", "u2")
    browser, page = at_work(shop.advertiser), f"/admin/audience/account/{account(shop).pk}/overview/"
    assert "Teams" in browser.get(page).content.decode()
    settings.MUSTER_ACCOUNT_PEOPLE = 1
    assert "more than 1 people" in browser.get(page).content.decode()


def test_a_stop_reaches_the_accounts_that_are_built_with_an_edit(shop, monkeypatch):
    monkeypatch.setattr(building, "CHUNK_PROFILES", 1)
    buyers = shop.segment("buyers", BUY)
    with_buyers = shop.segment("with", {"people": "any", "who": {"segment": "buyers", "in": True}}, of="account")
    join(shop, "04-30", "u1")
    join(shop, "04-30", "u2", account="Umbra")
    edited = shop.edit(buyers, SPENT)

    building.build(now=at("05-02"), progress=lambda one: one.segment_id == with_buyers.pk and building.stop(edited))

    waiting = RuleVersion.all_advertisers.get(segment=with_buyers, state="building")
    assert (waiting.profiles_done, waiting.profiles_total) == (1, 2)
    assert building.go_on(edited)
    shop.build("05-02 12:00")
    waiting.refresh_from_db()
    assert str(waiting.state) == "active"
