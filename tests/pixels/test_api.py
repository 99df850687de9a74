"""Pixels and their tags, through the API."""

from typing import Any

import pytest
from django.utils import timezone

from audience.models import Advertiser, Role
from pixels.models import Pixel, PixelAction
from segments.models import Segment
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_pixel, make_segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser, Role.MANAGER)


@pytest.fixture
def cart(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "cart")


@pytest.fixture
def bought(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "bought")


def adds(segment: Segment, **more: Any) -> dict[str, Any]:
    return {"do": "add", "segment": segment.pk} | more


def test_a_pixel_is_made_read_edited_and_deleted(caller: Caller, cart: Segment, bought: Segment) -> None:
    body = {"name": "Bought", "actions": [adds(bought, value=65), {"do": "remove", "segment": cart.pk}]}
    made = caller.post("/pixels", body)
    assert made.status_code == 201
    pixel = made.json()
    assert len(pixel["public_key"]) == 16
    assert pixel["actions"] == [
        {"do": "add", "segment": bought.pk, "value": 65, "lifetime_minutes": None},
        {"do": "remove", "segment": cart.pk, "value": None, "lifetime_minutes": None},
    ]
    path = f"/pixels/{pixel['id']}"
    assert caller.get(path).json() == pixel

    paused = caller.patch(path, {"state": "paused"})
    assert paused.json() == pixel | {"state": "paused"}
    assert caller.patch(path, pixel).json() == pixel

    assert caller.delete(path).status_code == 204
    assert caller.get(path).status_code == 404
    assert Pixel.all_advertisers.get(pk=pixel["id"]).deleted_at is not None


def test_actions_that_are_sent_replace_those_that_are_there(caller: Caller, cart: Segment, bought: Segment) -> None:
    pixel = caller.post("/pixels", {"name": "Cart", "actions": [adds(cart), adds(bought)]}).json()
    kept = PixelAction.all_advertisers.get(segment=bought).pk
    edited = caller.patch(f"/pixels/{pixel['id']}", {"actions": [adds(bought, lifetime_minutes=60)]})
    assert [(one["segment"], one["lifetime_minutes"]) for one in edited.json()["actions"]] == [(bought.pk, 60)]
    assert PixelAction.all_advertisers.get(pixel=pixel["id"]).pk == kept
    assert caller.patch(f"/pixels/{pixel['id']}", {"actions": []}).json()["actions"] == []


def test_a_pixel_leaves_out_segments_that_are_deleted(caller: Caller, cart: Segment) -> None:
    pixel = caller.post("/pixels", {"name": "Cart", "actions": [adds(cart)]}).json()
    caller.delete(f"/segments/{cart.pk}")
    assert caller.get(f"/pixels/{pixel['id']}").json()["actions"] == []
    again = caller.patch(f"/pixels/{pixel['id']}", {"actions": [adds(cart)]})
    assert again.status_code == 400


def test_what_cannot_be_taken_is_named_and_nothing_is_saved(caller: Caller, cart: Segment) -> None:
    rule = make_segment(caller.row.advertiser, "rule", kind="rule")
    table = [
        ({"name": ""}, "name"),
        ({"state": "off"}, "state"),
        ({"public_keys": "x"}, "public_keys"),
        ({"actions": "cart"}, "actions"),
        ({"event_name": "purchase", "value_source": "page"}, "value_source"),
        ({"event_name": "x" * 256}, "event_name"),
        ({"actions": [adds(cart), adds(cart)]}, "actions"),
        ({"actions": [{"do": "add"}]}, "actions.0.segment"),
        ({"actions": [{"do": "toggle", "segment": cart.pk}]}, "actions.0.do"),
        ({"actions": [adds(cart, value=-1)]}, "actions.0.value"),
        ({"actions": [{"do": "remove", "segment": cart.pk, "value": 1}]}, "actions.0"),
        ({"actions": [adds(cart), adds(rule)]}, "actions.1.segment"),
        ({"actions": [{"do": "add", "segment": 0}]}, "actions.0.segment"),
        ({"actions": [{"do": "add", "segment": True}]}, "actions.0.segment"),
        ({"actions": [{"do": "add", "segment": str(cart.pk)}]}, "actions.0.segment"),
        ({"actions": [{"do": "add", "segment": 10**400}]}, "actions.0.segment"),
        ({"actions": [{"do": "add", "segment": [cart.pk]}]}, "actions.0.segment"),
    ]
    pixel = make_pixel(caller.row.advertiser, cart)
    for body, field in table:
        for answer in (caller.post("/pixels", {"name": "New"} | body), caller.patch(f"/pixels/{pixel.pk}", body)):
            assert answer.status_code == 400, body
            assert set(answer.json()["fields"]) == {field}
    assert Pixel.all_advertisers.filter(name="New").count() == 0
    assert PixelAction.all_advertisers.filter(pixel=pixel).count() == 1


def test_a_pixel_that_records_an_event_has_tags_that_name_the_order(caller: Caller, cart: Segment) -> None:
    made = caller.post(
        "/pixels", {"name": "Order", "event_name": "purchase", "actions": [adds(cart, value=65)]}
    ).json()
    assert made["event_name"] == "purchase"
    tags = caller.get(f"/pixels/{made['id']}/tags").json()["tags"]
    ends = {
        tag["address"]: tag["url"].partition("://")[2].partition("/")[2] for tag in tags if tag["format"] == "image"
    }
    order = "order_id=[ORDER_ID]&value=[VALUE]"
    member = caller.row.advertiser_id
    assert ends == {
        "pixel": f"p/{made['public_key']}.gif?{order}",
        "number": f"px?id={made['id']}&seg={cart.pk}:65&t=2&{order}",
        "code": f"px?id={made['id']}&seg_code=cart:65&member={member}&t=2&{order}",
    }
    assert all(any("[ORDER_ID]" in hint for hint in tag["hints"]) for tag in tags if tag["format"] != "server")


def test_a_hundred_actions_and_not_one_more(caller: Caller) -> None:
    segments = [make_segment(caller.row.advertiser, f"s{number}") for number in range(101)]
    assert caller.post("/pixels", {"name": "All", "actions": [adds(one) for one in segments]}).status_code == 400
    made = caller.post("/pixels", {"name": "All", "actions": [adds(one) for one in segments[1:]]})
    assert made.status_code == 201
    assert len(made.json()["actions"]) == 100


@pytest.mark.spec("T31")
def test_a_foreign_segment_is_refused_like_one_that_never_was(caller: Caller) -> None:
    foreign = make_segment(make_advertiser(), "secret")
    answers = [caller.post("/pixels", {"name": "Cart", "actions": [adds(foreign)]})]
    foreign.pk = 999_999
    answers.append(caller.post("/pixels", {"name": "Cart", "actions": [adds(foreign)]}))
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content == answers[1].content


def test_the_built_in_pixel_is_read_only(caller: Caller) -> None:
    direct = Pixel.all_advertisers.filter(advertiser=caller.row.advertiser, is_direct=True).first()
    direct = direct or make_pixel(caller.row.advertiser, name="Direct calls", is_direct=True)
    assert caller.get(f"/pixels/{direct.pk}").json()["is_direct"] is True
    for answer in (caller.patch(f"/pixels/{direct.pk}", {"name": "Mine"}), caller.delete(f"/pixels/{direct.pk}")):
        assert answer.status_code == 409
        assert answer.json()["code"] == "built_in"


def test_pixels_are_found_by_key_and_state(caller: Caller, cart: Segment) -> None:
    pixel = make_pixel(caller.row.advertiser, cart)
    make_pixel(caller.row.advertiser, name="Paused", state="paused")
    make_pixel(caller.row.advertiser, name="Deleted", state="paused", deleted_at=timezone.now())
    found = caller.get("/pixels", public_key=pixel.public_key).json()["results"]
    assert [row["id"] for row in found] == [pixel.pk]
    assert [row["name"] for row in caller.get("/pixels", state="paused").json()["results"]] == ["Paused"]


def test_a_page_of_pixels_costs_two_statements(caller: Caller, cart: Segment, django_assert_num_queries: Any) -> None:
    for number in range(5):
        make_pixel(caller.row.advertiser, cart, name=f"Pixel {number}")
    caller.get("/pixels")
    with django_assert_num_queries(4):  # token, limit, pixels, actions
        caller.get("/pixels")


def test_the_tags_of_a_pixel(caller: Caller, cart: Segment, settings: Any) -> None:
    settings.MUSTER_PIXEL_URL = "https://px.example.com"
    pixel = make_pixel(caller.row.advertiser, cart)
    tags = caller.get(f"/pixels/{pixel.pk}/tags").json()["tags"]
    assert {(tag["format"], tag["address"]) for tag in tags} == {
        (form, address) for form in ("script", "image", "server") for address in ("pixel", "number", "code")
    }
    by_address = {(tag["format"], tag["address"]): tag for tag in tags}
    assert by_address["image", "pixel"]["url"] == f"https://px.example.com/p/{pixel.public_key}.gif"
    assert by_address["image", "pixel"]["url"] in by_address["image", "pixel"]["html"]
    assert f"add={cart.pk}" in by_address["image", "number"]["url"]
    assert by_address["server", "pixel"]["html"] == (
        "curl -u \"$MUSTER_SERVER_KEY:\" -H 'Content-Type: application/json' -d "
        f'\'{{"fires":[{{"pixel":"{pixel.public_key}","identifier":{{"kind":"customer_id","value":"C-1001"}}}}]}}\' '
        "https://px.example.com/v1/fires"
    )
