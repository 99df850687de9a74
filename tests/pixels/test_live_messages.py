"""The live view of a write key: each message with its outcome, and nothing in it that names anybody."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audience.models import Role, WriteKey
from audience.writekeys import revoke_write_key
from pixels.messages.errors import MessageError
from pixels.models import ArrivedMessage
from tests.admins import at_work
from tests.factories import make_advertiser
from tests.pixels.doors import DjangoDoor, DoorUnderTest
from tests.pixels.teller import Teller

GOOD = {"type": "track", "event": "viewed", "anonymousId": "x1"}


def page_of(key: WriteKey) -> str:
    return f"/admin/audience/writekey/{key.pk}/live/"


@pytest.fixture
def teller(door: DoorUnderTest) -> Teller:
    return Teller(door)


@pytest.fixture
def look(teller: Teller) -> Callable[..., list[dict[str, Any]]]:
    """Look at what the public key brought, oldest first."""
    browser = at_work(teller.advertiser, Role.MANAGER)

    def seen(**query: str) -> list[dict[str, Any]]:
        answer = browser.get(f"{page_of(teller.public_row)}messages/", query)
        assert answer.status_code == 200
        return list(answer.json()["rows"][::-1])

    return seen


def short(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(row["kind"], row["event"], row["outcome"], row["reason"], row["page"]) for row in rows]


def test_good_and_bad_messages_are_seen_with_their_codes(teller: Teller, look: Callable[..., Any]) -> None:
    teller.tell("track", **GOOD, messageId="m-1", context={"page": {"url": "https://shop.example/cart?secret=1"}})
    teller.tell("track", **GOOD, messageId="m-1")
    teller.tell("page", anonymousId="x1", name="Home", headers={"referer": "https://www.shop.example/?x=1"})
    teller.tell("track", anonymousId="x1", headers={"referer": "https://shop.example/"})
    teller.tell("alias", userId="C-1", previousId="x1")
    teller.tell("batch", batch=[{"type": "dance"}, "nothing", {**GOOD, "event": ["viewed"]}])
    rows = look()
    assert sorted(short(rows)) == sorted(
        [
            ("track", "viewed", "applied", "", "shop.example"),
            ("track", "viewed", "duplicate", "", ""),
            ("page", "Home", "applied", "", "www.shop.example"),
            ("track", "", "rejected", "no_event_name", "shop.example"),
            ("alias", "", "rejected", "needs_server_key", ""),
            ("", "", "rejected", "bad_type", ""),
            ("", "", "rejected", "bad_type", ""),
            ("track", "", "rejected", "no_event_name", ""),
        ]
    )
    assert {row["why"] for row in rows if row["reason"]} <= {error.label for error in MessageError}


def test_nothing_in_it_names_anybody(teller: Teller, look: Callable[..., Any]) -> None:
    canary = "jo@canary.example"
    teller.tell("track", anonymousId=canary, userId=canary, event=f"mail to {canary}", properties={"to": canary})
    teller.tell("identify", anonymousId="x1", traits={"email": canary, "name": "Jo Canary"}, name="Jo Canary")
    teller.tell(
        "track",
        event=canary,
        context={"page": {"url": f"https://shop.example/{canary}?q={canary}"}, "ip": "203.0.113.9"},
    )
    text = json.dumps(look())
    assert len(look()) == 3
    assert "canary" not in text.lower()
    assert "203.0.113" not in text
    stored = str(list(ArrivedMessage.all_advertisers.filter(advertiser=teller.advertiser).values()))
    assert "canary" not in stored.lower()


def test_the_newest_are_filtered(teller: Teller, look: Callable[..., Any]) -> None:
    teller.tell("track", **GOOD, headers={"referer": "https://shop.example/"})
    teller.tell("track", anonymousId="x1", headers={"referer": "https://copy.example/"})
    assert len(look()) == 2
    assert [row["outcome"] for row in look(outcome="rejected")] == ["rejected"]
    assert [row["outcome"] for row in look(reason="no_event_name")] == ["rejected"]
    assert [row["outcome"] for row in look(host=" SHOP.example ")] == ["applied"]
    assert len(look(outcome="nonsense", reason="nonsense")) == 2
    assert look(after=timezone.now().isoformat(), host="other.example") == []


def test_a_message_for_which_there_is_no_room_ends_as_refused(teller: Teller, look: Callable[..., Any]) -> None:
    names = {str(number): number for number in range(251)}
    for call in range(4):
        traits = {f"{call}-{name}": value for name, value in names.items()}
        teller.tell("identify", anonymousId="x1", traits=traits)
    assert [(row["outcome"], row["reason"]) for row in look()] == [
        *[("applied", "")] * 3,
        ("rejected", "too_many_properties"),
    ]


def test_each_key_shows_its_own_to_its_own_people(django_views: DjangoDoor) -> None:
    teller = Teller(django_views)
    teller.tell("track", **GOOD)
    teller.tell("track", teller.server, event="paid", userId="C-1")
    manager = at_work(teller.advertiser, Role.MANAGER)

    def events(browser: Client, key: WriteKey) -> list[str]:
        return [row["event"] for row in browser.get(f"{page_of(key)}messages/").json()["rows"]]

    assert events(manager, teller.public_row) == ["viewed"]
    assert events(manager, teller.server_row) == ["paid"]
    revoke_write_key(teller.public_row)
    assert events(manager, teller.public_row) == ["viewed"]

    analyst, other = at_work(teller.advertiser, Role.ANALYST), at_work(make_advertiser())
    for path in ("", "messages/"):
        assert analyst.get(f"{page_of(teller.public_row)}{path}").status_code == 403
        assert other.get(f"{page_of(teller.public_row)}{path}").status_code == 404


def test_the_page_offers_every_code(django_views: DjangoDoor) -> None:
    teller = Teller(django_views)
    page = at_work(teller.advertiser, Role.MANAGER).get(page_of(teller.public_row)).content.decode()
    for error in MessageError:
        assert f'<option value="{error.value}"' in page
    assert "No message yet." in page
