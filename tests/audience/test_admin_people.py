"""How a marketer sees a person: who it is, what is known and whence, and what happened, page by page."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from audience.models import Account, AccountMember, Advertiser, Identifier, Merge, Profile, Role, WriteKey
from audience.tenancy import acting_for
from segments.models import Transition
from tests.admins import at_work, form_of
from tests.audience.messages import Sender
from tests.factories import NOON, make_advertiser, make_member, make_profile, make_segment

pytestmark = pytest.mark.django_db

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'


@pytest.fixture
def kettle() -> Advertiser:
    return make_advertiser(name="Kettle")


@pytest.fixture
def sender(kettle: Advertiser) -> Any:
    return Sender(kettle)  # type: ignore[no-untyped-call]


@pytest.fixture
def browser(kettle: Advertiser) -> Client:
    return at_work(kettle)


def page_of(profile: Profile | UUID) -> str:
    return f"/admin/audience/profile/{getattr(profile, 'pk', profile)}/overview/"


def who(kind: str, value: str) -> UUID:
    return Identifier.all_advertisers.get(kind=kind, value=value).profile_id


def titles(answer: Any) -> list[str]:
    return [entry.title for entry in answer.context["timeline"].entries]


def turn_all(browser: Client, link: str) -> list[list[Any]]:
    """Follow “Older” to the end; return each page's entries."""
    pages, query = [], ""
    while True:
        answer = browser.get(link + query)
        assert answer.status_code == 200
        pages.append(list(answer.context["timeline"].entries))
        older = re.search(r'href="(\?before=[^"#]+)#timeline"', answer.content.decode())
        if older is None:
            return pages
        query = older[1]


def test_the_header_tells_where_and_with_what_somebody_was_seen_last(browser: Client, sender: Any) -> None:
    sender.send("browser:1", event="page", context={"place": {"city": "Oslo"}})
    newest = {
        "place": {"country": "DE", "city": "Munich"},
        "device": {"type": "mobile", "brand": "Apple", "model": "iPhone"},
        "browser": {"name": "Safari", "version": "18.1"},
        "weather": {"condition": "rain", "temperature": 0.0},
    }
    sender.send("browser:1", at=5, event="page", context=newest)
    answer = browser.get(page_of(who("browser", "1")))
    assert answer.context["surroundings"] == (
        "Munich · DE",
        "rain · 0.0 °C",
        "Apple · iPhone · mobile",
        "Safari · 18.1",
    )
    assert "Munich · DE" in answer.content.decode()


def test_the_header_tells_where_somebody_came_from_first_and_last(browser: Client, sender: Any) -> None:
    for minute, source in enumerate([{"medium": "cpc", "name": "google", "campaign": "spring"}, {"medium": "email"}]):
        sender.send("browser:1", at=minute, event="page", context={"source": source})
    text = browser.get(page_of(who("browser", "1"))).content.decode()
    assert re.findall(r"<dt>(\w+) came from</dt><dd[^>]*>(.*?)<", text) == [
        ("First", "cpc · google · spring"),
        ("Last", "email"),
    ]


def test_a_person_of_whom_nothing_is_known_has_a_page(browser: Client, kettle: Advertiser) -> None:
    with acting_for(kettle.pk):
        profile = Profile.objects.create(first_seen_at=NOON, last_seen_at=NOON)
    answer = browser.get(page_of(profile))
    assert answer.status_code == 200
    assert (titles(answer), answer.context["surroundings"]) == ([], ("", "", "", ""))
    assert "Nothing yet." in answer.content.decode()


def test_attributes_say_since_when_and_whence(browser: Client, kettle: Advertiser, sender: Any) -> None:
    with acting_for(kettle.pk):
        key = WriteKey.objects.create(name="Shop pages", public_key="mw_1")
    sender.send("browser:1", kind="identify", traits={"plan": "gold"}, source_id=key.pk)
    sender.send("browser:1", kind="identify", at=9, traits={"plan": "gold", "tags": ["a"]}, source_id=key.pk)
    answer = browser.get(page_of(who("browser", "1")))
    plan, tags = answer.context["attributes"]
    assert plan == ("plan", "gold", NOON, NOON + timedelta(minutes=9), "Shop pages, identify")
    assert (tags.name, tags.value) == ("tags", '[\n  "a"\n]')
    assert "Shop pages, identify" in answer.content.decode()


def test_an_attribute_outlives_the_write_key_that_told_it(browser: Client, sender: Any) -> None:
    sender.send("browser:1", kind="identify", traits={"plan": "gold"}, source_id=987_654)
    (plan,) = browser.get(page_of(who("browser", "1"))).context["attributes"]
    assert plan.whence == "identify"


def test_a_persons_accounts_are_named(browser: Client, sender: Any) -> None:
    sender.send("browser:1", "customer_id:C-1", kind="group", account="ACME", traits={"size": 12})
    answer = browser.get(page_of(who("customer_id", "C-1")))
    assert [one.account.key for one in answer.context["accounts"]] == ["ACME"]


def test_events_and_transitions_stand_in_one_timeline(browser: Client, kettle: Advertiser, sender: Any) -> None:
    sender.send("browser:1", event="cart_updated", properties={"total": 65, "items": [1], "currency": "EUR"})
    sender.send("browser:1", event="page", at=2, context={"page": {"path": "/thanks"}})
    profile, cart = who("browser", "1"), make_segment(kettle, "cart")
    for at, change, cause in ((0, "join", "fact"), (1, "leave", "time")):
        Transition.all_advertisers.create(
            advertiser=kettle,
            profile_id=profile,
            segment=cart,
            at=NOON + timedelta(minutes=at),
            change=change,
            cause=cause,
        )
    entries = browser.get(page_of(profile)).context["timeline"].entries
    assert [(entry.title, entry.tone, entry.short) for entry in entries] == [
        ("page", "", "/thanks"),
        ("Cart", "leave", "time went by"),
        ("Cart", "join", "something they did"),
        ("cart_updated", "", "total 65 · currency EUR"),
    ]


def test_two_hundred_events_are_read_fifty_at_a_time(browser: Client, kettle: Advertiser, sender: Any) -> None:
    """Many at the same instant, among them transitions: every one is shown once, in the order of time."""
    for number in range(200):
        sender.send("browser:1", event=f"e{number}", at=number // 60)
    profile = who("browser", "1")
    for number in range(9):
        segment = make_segment(kettle, f"s{number}")
        for change in ("join", "leave"):
            Transition.all_advertisers.create(
                advertiser=kettle, profile_id=profile, segment=segment, at=NOON, change=change, cause="fact"
            )
    pages = turn_all(browser, page_of(profile))
    assert [len(page) for page in pages] == [50, 50, 50, 50, 18]
    found = [entry for page in pages for entry in page]
    assert [entry.mark for entry in found] == sorted({entry.mark for entry in found}, reverse=True)
    assert {entry.title for entry in found} >= {f"e{number}" for number in range(200)}


@pytest.mark.parametrize("mark", ["x", "1", "-1-0", "1-" + "g" * 32, "9" * 18 + "-" + "0" * 32, "1-" + "0" * 33])
def test_a_mark_that_is_none_leads_nowhere(browser: Client, sender: Any, mark: str) -> None:
    sender.send("browser:1")
    assert browser.get(page_of(who("browser", "1")), {"before": mark}).status_code == 404


@pytest.mark.parametrize("key", ["0" * 32, "f" * 32, "ffff" + "f" * 28])
@pytest.mark.parametrize("at", ["0", "9" * 17])
def test_any_mark_that_is_one_is_answered(browser: Client, sender: Any, at: str, key: str) -> None:
    sender.send("browser:1")
    assert browser.get(page_of(who("browser", "1")), {"before": f"{at}-{key}"}).status_code == 200


def test_hostile_texts_are_only_texts(browser: Client, sender: Any) -> None:
    sender.send(
        "browser:1",
        "customer_id:C-1",
        event=HOSTILE,
        properties={HOSTILE: HOSTILE, "deep": [{HOSTILE: HOSTILE}]},
        context={"page": {"path": HOSTILE}, "place": {"city": HOSTILE}, "device": HOSTILE},
    )
    sender.send("browser:1", "customer_id:C-1", kind="identify", traits={HOSTILE: HOSTILE, "list": [HOSTILE]})
    sender.send("browser:1", "customer_id:C-1", kind="group", account=HOSTILE, traits={HOSTILE: {"x": HOSTILE}})
    body = browser.get(page_of(who("customer_id", "C-1"))).content.decode()
    assert body.count("&lt;img src=x") >= 8
    assert "<img src=x" not in body
    assert "<script>alert" not in body


def test_the_timeline_of_another_advertiser_is_not_shown(browser: Client) -> None:
    Sender(make_advertiser()).send("browser:1")  # type: ignore[no-untyped-call]
    assert browser.get(page_of(who("browser", "1"))).status_code == 404


# --- Search


PROFILES = "/admin/audience/profile/"


def found_by(browser: Client, term: str) -> list[UUID]:
    answer = browser.get(PROFILES, {"q": term})
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


@pytest.mark.parametrize(
    "term",
    [
        *("+49 89 123456", "0049 89 123456", "+49 (0) 89/12 34-56", "tel:+4989123456", "00 49 (0)89 123456"),
        *("phone:0049 89 123456", "a:5f0c", "5f0c", "device:5f0c", "partner:acme:77", " JO@example.com "),
    ],
)
def test_a_person_is_found_however_the_identifier_is_written(browser: Client, kettle: Advertiser, term: str) -> None:
    identifiers = {"phone": "+4989123456", "device": "a:5f0c", "email": "jo@example.com", "partner:acme": "77"}
    jo = make_profile(kettle, **identifiers)
    make_profile(kettle, phone="+4989123457", device="a:5f0d")
    assert found_by(browser, term) == [jo.pk]


def test_the_id_of_a_profile_from_before_a_merge_finds_the_one_that_stayed(browser: Client, sender: Any) -> None:
    sender.send("browser:1")
    sender.send("browser:2")
    old, older = who("browser", "1"), who("browser", "2")
    sender.send("browser:2", "customer_id:C-0", at=1)
    sender.send("browser:1", "customer_id:C-1", at=1)
    sender.send(None, "customer_id:C-1", kind="alias", previous="customer_id:C-0", at=2)
    stayed = who("customer_id", "C-1")
    assert {old, older} - {stayed}
    assert found_by(browser, str(old)) == found_by(browser, str(older)) == found_by(browser, "C-0") == [stayed]
    for link in (page_of(old), page_of(older)):
        assert browser.get(link).context["profile"].pk == stayed


def test_an_old_id_of_another_advertiser_finds_nobody(browser: Client) -> None:
    theirs = Sender(make_advertiser())  # type: ignore[no-untyped-call]
    theirs.send("browser:1")
    old = who("browser", "1")
    theirs.send("browser:2", "customer_id:C-1", at=1)
    theirs.send("browser:1", "customer_id:C-1", at=2)
    assert found_by(browser, str(old)) == []
    assert Merge.all_advertisers.filter(pk=old).exists()
    assert browser.get(page_of(old)).status_code == 404


def test_the_settings_name_the_country_of_phone_numbers_without_one(
    browser: Client, kettle: Advertiser, sender: Any
) -> None:
    sender.send(None, "phone:+4989123456", kind="identify")
    link = f"/admin/audience/advertiser/{kettle.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="time_zone")
    assert "no country" in browser.post(link, {**form, "phone_country": "XX"}).content.decode()
    people = "/admin/audience/profile/"
    assert "Nobody is known by this." in browser.get(people, {"q": "089 123456"}).content.decode()

    assert browser.post(link, {**form, "phone_country": "de"}).status_code == 302
    kettle.refresh_from_db()
    assert kettle.phone_country == "DE"
    assert "phone +4989123456" in browser.get(people, {"q": "089 123456"}).content.decode()


def test_the_settings_name_the_currency_of_amounts(browser: Client, kettle: Advertiser) -> None:
    link = f"/admin/audience/advertiser/{kettle.pk}/change/"
    form = form_of(browser.get(link).content.decode(), having="time_zone")
    assert form["currency"] == ["EUR"]
    assert "is no currency" in browser.post(link, {**form, "currency": "E1"}).content.decode()
    assert browser.post(link, {**form, "currency": "usd"}).status_code == 302
    kettle.refresh_from_db()
    assert kettle.currency == "USD"


def test_a_search_that_finds_nobody_says_so(browser: Client, kettle: Advertiser) -> None:
    make_profile(kettle, email="jo@example.com")
    body = browser.get(PROFILES, {"q": "bo@example.com"}).content.decode()
    assert "Nobody is known by this." in body
    assert "jo@example.com" not in body


# --- Accounts


ACCOUNTS = "/admin/audience/account/"


def account_page(key: str) -> str:
    return f"{ACCOUNTS}{Account.all_advertisers.get(key=key).pk}/overview/"


@pytest.fixture
def acme(sender: Any) -> str:
    """ACME with two people; a third person belongs to another company."""
    for name, account in (("C-1", "ACME"), ("C-2", "ACME"), ("C-3", "Other")):
        sender.send(None, f"customer_id:{name}", kind="group", account=account, traits={"size": len(name)})
    for minute, name in enumerate(("C-1", "C-2", "C-3", "C-1")):
        sender.send(None, f"customer_id:{name}", event=f"seen {minute}", at=minute)
    return account_page("ACME")


def test_an_account_shows_its_people_and_what_they_did(browser: Client, acme: str) -> None:
    answer = browser.get(acme)
    assert [entry.title for entry in answer.context["entries"]] == ["seen 3", "seen 1", "seen 0"]
    assert {names for _, names in answer.context["members"]} == {"customer_id C-1", "customer_id C-2"}
    assert [(one.name, one.value) for one in answer.context["attributes"]] == [("size", "3")]
    assert "Other" not in answer.content.decode()


def test_an_account_counts_its_people_in_segments(browser: Client, kettle: Advertiser, acme: str) -> None:
    cart, vip = make_segment(kettle, "cart"), make_segment(kettle, "vip")
    now = timezone.now()
    for name, segment in (("C-1", cart), ("C-2", cart), ("C-1", vip), ("C-3", vip)):
        make_member(segment, who("customer_id", name), starts_at=now - timedelta(hours=1))
    make_member(vip, who("customer_id", "C-2"), starts_at=now - timedelta(days=31))
    (section,) = [one for one in browser.get(acme).context["sections"] if "people" in one.title]
    assert [(one["segment__name"], one["people"]) for one in section.context["segments"]] == [("Cart", 2), ("Vip", 1)]


def test_the_people_of_an_account_are_turned_page_by_page(browser: Client, kettle: Advertiser, acme: str) -> None:
    account = Account.all_advertisers.get(key="ACME")
    for _ in range(60):
        AccountMember.all_advertisers.create(
            advertiser=kettle, profile=make_profile(kettle), account=account, since=NOON
        )
    first = browser.get(acme)
    further = re.search(r'href="(\?after=[^"#]+)#people"', first.content.decode())
    assert further
    second = browser.get(acme + further[1])
    found = [one.profile_id for answer in (first, second) for one, _ in answer.context["members"]]
    assert len(found) == len(set(found)) == 62
    assert found == sorted(found)
    assert "?after=" not in second.content.decode()


@pytest.mark.parametrize(("term", "found"), [("ACME", ["ACME"]), (" ACME ", ["ACME"]), ("ACM", []), ("\x00", None)])
def test_an_account_is_found_by_its_whole_key(browser: Client, acme: str, term: str, found: list[str] | None) -> None:
    answer = browser.get(ACCOUNTS, {"q": term})
    if found is not None:
        assert [row.key for row in answer.context["cl"].result_list] == found
    assert ("No account has this key." in answer.content.decode()) == (found == [])


def test_hostile_texts_of_an_account_are_only_texts(browser: Client, sender: Any) -> None:
    sender.send("browser:1", f"customer_id:{HOSTILE}", kind="group", account=HOSTILE, traits={HOSTILE: [HOSTILE]})
    sender.send("browser:1", event=HOSTILE, properties={HOSTILE: HOSTILE}, context={"page": {"path": HOSTILE}})
    for link in (account_page(HOSTILE), ACCOUNTS):
        body = browser.get(link).content.decode()
        assert "&lt;img src=x" in body
        assert "<img src=x" not in body
        assert "<script>alert" not in body


@pytest.mark.parametrize("after", ["x", "1", "'"])
def test_a_key_that_is_none_leads_nowhere(browser: Client, acme: str, after: str) -> None:
    assert browser.get(acme, {"after": after}).status_code == 404


def test_an_account_of_another_advertiser_is_not_shown(browser: Client) -> None:
    Sender(make_advertiser()).send("browser:1", "customer_id:C-1", kind="group", account="ACME")  # type: ignore[no-untyped-call]
    assert browser.get(account_page("ACME")).status_code == 404
    assert list(browser.get(ACCOUNTS, {"q": "ACME"}).context["cl"].result_list) == []


@pytest.mark.parametrize(
    ("role", "people", "status"),
    [(Role.VIEWER, True, 403), (Role.ANALYST, False, 403), (Role.ANALYST, True, 200), (Role.OWNER, False, 200)],
)
def test_accounts_need_the_right_to_see_people(
    kettle: Advertiser, acme: str, role: Role, people: bool, status: int
) -> None:
    client = at_work(kettle, role, people=people)
    for link in (ACCOUNTS, acme, acme.replace("overview", "change")):
        assert client.get(link).status_code == status


def test_looking_at_an_accounts_people_is_written_down(browser: Client, acme: str) -> None:
    browser.get(acme)
    looks = LogEntry.objects.filter(change_message="Looked at.", object_repr="ACME")
    assert looks.count() == 1
