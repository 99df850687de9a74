"""Clients of Segment's HTTP API that others wrote, unchanged, against the real door: only host and key are ours."""

from datetime import UTC, datetime, timedelta

import pytest
from rudderstack.analytics.client import Client as RudderClient
from segment.analytics.client import Client as SegmentClient

from audience.models import Account, AccountMember, Attribute, Event, Identifier
from audience.tenancy import acting_for
from tests.pixels.teller import Teller

CLIENTS = {
    "segment": (SegmentClient, False),
    "segment, packed": (SegmentClient, True),
    "rudder": (RudderClient, True),
}


def tell_a_story(client, at):
    """Say everything that these clients can say."""
    client.identify("C-1001", {"email": "Jo@Example.com", "plan": "gold"}, message_id="m-1")
    client.track("C-1001", "cart_updated", {"total": 65, "note": "naïve 🛒"}, timestamp=at, message_id="m-2")
    client.page("C-1001", "Shop", "Home", {"url": "https://shop.example/?q=1"}, message_id="m-3")
    client.screen("C-1001", "App", "Cart", {"width": 390}, message_id="m-4")
    client.group("C-1001", "acme", {"industry": "retail"}, message_id="m-5")
    client.track(anonymous_id="x1", event="viewed", message_id="m-6")
    client.alias("x0", "C-1001", message_id="m-7")
    client.flush()


def send(kind, key, door, at):
    failures = []
    make, is_packed = CLIENTS[kind]
    client = make(
        key,
        host=f"http://127.0.0.1:{door.port}",
        gzip=is_packed,
        on_error=lambda error, _: failures.append(error),
        max_retries=0,
        upload_size=3,
        upload_interval=0.01,
    )
    try:
        tell_a_story(client, at)
    finally:
        client.join()
    assert failures == []


def check(teller, at):
    with acting_for(teller.advertiser.pk):
        events = {event.name: event for event in Event.objects.all()}
        assert set(events) == {"cart_updated", "page", "screen", "viewed"}
        cart = events["cart_updated"]
        assert cart.properties == {"total": 65, "note": "naïve 🛒"}
        assert abs(cart.occurred_at - at) < timedelta(seconds=10)
        assert events["page"].properties == {"url": "https://shop.example/", "name": "Home", "category": "Shop"}
        owners = {(one.kind, one.value): one.profile_id for one in Identifier.objects.all()}
        assert owners["customer_id", "C-1001"] == owners["email", "jo@example.com"] == cart.profile_id
        assert events["viewed"].profile_id == owners["device", "a:x1"] != cart.profile_id
        plan = Attribute.objects.get(profile_id=cart.profile_id, name="plan")
        assert (plan.value, plan.source_id) == ("gold", teller.server_row.pk)
        assert Account.objects.get().key == "acme"
        assert AccountMember.objects.get().profile_id == cart.profile_id
    assert teller.counts() == {"applied": 7}


@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize("kind", ["segment", "segment, packed"])
def test_existing_python_client(listener, kind):
    teller, at = Teller(listener), datetime.now(UTC) - timedelta(hours=1)
    send(kind, teller.server, listener, at)
    check(teller, at)
    send(kind, teller.server, listener, at)
    assert teller.counts() == {"applied": 7, "duplicate": 7}


@pytest.mark.spec("pixels.md 4.2")
def test_second_client_basic_auth(listener):
    teller, at = Teller(listener), datetime.now(UTC) - timedelta(hours=1)
    send("rudder", teller.server, listener, at)
    check(teller, at)
