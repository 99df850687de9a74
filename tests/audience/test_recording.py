"""Messages lead to people as pixels.md 4.3 says: what nobody proves takes nothing from anybody."""

import asyncio
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import F
from prometheus_client import REGISTRY
from psycopg import DataError

from audience import accounts, recording, resolution, settling
from audience.columns import batch_cursor
from audience.identity import ProfileGone
from audience.merging import forget_merges
from audience.models import (
    Account,
    AccountAttribute,
    AccountMember,
    Attribute,
    AttributeName,
    Event,
    Identifier,
    Merge,
    MessageId,
    Profile,
)
from audience.partitions import drop_old_partitions, make_partitions
from audience.pipeline import Pipeline
from audience.talk import speak
from pixels.commits import SESSION_OPTIONS
from segments.models import Membership
from tests.audience.messages import Sender, attributes_of, events_by_person, people, record_all
from tests.factories import NOON, make_advertiser, make_member, make_profile, make_segment
from tests.pixels.test_committer import conninfo

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop():
    return Sender(make_advertiser())


def names(shop):
    """The people as texts, for short: `{"browser:1 customer_id:C1"}`."""
    return {" ".join(sorted(person)) for person in people(shop.advertiser)}


def test_an_event_is_kept_with_what_was_said_of_it(shop):
    end = shop.send(
        "browser:1", at=5, received=7, event="cart_updated", properties={"total": 65.5}, context={"channel": "web"}
    )
    event = Event.all_advertisers.get()

    assert end.outcome == "applied"
    assert event.profile_id == UUID(bytes=end.profile_id)
    assert (event.name, event.properties, event.context) == ("cart_updated", {"total": 65.5}, {"channel": "web"})
    assert (event.occurred_at, event.received_at) == (NOON + timedelta(minutes=5), NOON + timedelta(minutes=7))


@pytest.mark.spec("R5")
def test_message_id_once(shop):
    first = shop.message("browser:1", number=77)
    other = Sender(make_advertiser()).message("browser:1")

    assert [end.outcome for end in record_all([first, first, other])] == ["applied", "duplicate", "applied"]
    assert record_all([first._replace(received_at=first.received_at + 7 * 86_400_000_000)])[0].outcome == "duplicate"
    assert Event.all_advertisers.filter(advertiser=shop.advertiser).count() == 1


def test_a_repeated_message_makes_nobody(shop):
    first = shop.message("browser:1", number=77)
    record_all([first])
    assert record_all([first._replace(own=shop.key("browser:2"))])[0].outcome == "duplicate"
    assert names(shop) == {"browser:1"}


def test_a_message_without_a_message_id_is_not_remembered(shop):
    nameless = shop.message("browser:1", is_named=False)
    named = shop.message("browser:1", number=77)

    assert [end.outcome for end in record_all([nameless])] == ["applied"]
    assert MessageId.objects.count() == 0
    again = [nameless._replace(id=UUID(int=5).bytes), named, nameless._replace(id=UUID(int=6).bytes), named]
    assert [end.outcome for end in record_all(again)] == ["applied", "applied", "applied", "duplicate"]
    assert [row.id for row in MessageId.objects.all()] == [UUID(int=77)]
    assert Event.all_advertisers.filter(advertiser=shop.advertiser).count() == 4


def test_message_ids_are_remembered_for_eight_days(shop):
    message = shop.message("browser:1")
    record_all([message])
    make_partitions(NOON)
    drop_old_partitions(NOON + timedelta(days=8, hours=20))
    assert MessageId.objects.count() == 1
    drop_old_partitions(NOON + timedelta(days=10))
    assert MessageId.objects.count() == 0
    make_partitions()


def test_a_free_identifier_is_linked_and_a_taken_one_never_moves(shop):
    shop.send("browser:1", linked=["device:a:x"])
    shop.send("device:a:y")
    shop.send("browser:1", linked=["device:a:y"])
    assert names(shop) == {"browser:1 device:a:x", "device:a:y"}


def test_public_key_cannot_take_over(shop):
    """A message that proves nothing changes nobody but its sender."""
    shop.send("browser:1", "customer_id:C1", traits={"plan": "gold"})
    thief = shop.send("browser:2", linked=["customer_id:C1"], traits={"claimed_customer_id": "C1"})

    assert names(shop) == {"browser:1 customer_id:C1", "browser:2"}
    assert attributes_of(UUID(bytes=thief.profile_id)) == {"claimed_customer_id": "C1"}


def test_a_browser_that_proves_a_customer_goes_into_them_with_all_it_has(shop):
    shop.send("browser:1", at=1, traits={"plan": "free", "city": "Ulm"}, linked=["device:a:x"])
    shop.send(None, "customer_id:C1", at=2, traits={"plan": "gold"})
    end = shop.send("browser:1", "customer_id:C1", at=3)

    assert names(shop) == {"browser:1 customer_id:C1 device:a:x"}
    assert [minutes for _, minutes in next(iter(events_by_person(shop.advertiser).values()))] == [1, 2, 3]
    assert attributes_of(UUID(bytes=end.profile_id)) == {"plan": "gold", "city": "Ulm"}
    assert Profile.all_advertisers.get().first_seen_at == NOON + timedelta(minutes=1)
    merged = Merge.all_advertisers.get()
    assert merged.into_id == Profile.all_advertisers.get().pk
    assert not Event.all_advertisers.filter(profile_id=merged.pk).exists()


def test_merges_are_found_to_their_end(shop):
    for number in (1, 2, 3):
        shop.send(f"browser:{number}")
    shop.send("browser:3", "email:jo@example.com", "customer_id:C1")
    shop.send("browser:2", "email:jo@example.com")
    shop.send(None, "customer_id:C1", previous="browser:1")
    assert {merged.into_id for merged in Merge.all_advertisers.all()} == {Profile.all_advertisers.get().pk}


def test_where_a_profile_went_is_known_for_thirteen_months(shop):
    shop.send("browser:1")
    shop.send(None, "customer_id:C1")
    shop.send("browser:1", "customer_id:C1")
    assert forget_merges(NOON + timedelta(days=403)) == 0
    assert forget_merges(NOON + timedelta(days=404)) == 1


def test_shared_device_does_not_merge(shop):
    shop.send("browser:1", "customer_id:C1", at=1)
    shop.send("browser:1", at=2)
    shop.send("browser:1", "customer_id:C2", at=3)
    shop.send("browser:1", at=4)

    assert names(shop) == {"customer_id:C1", "browser:1 customer_id:C2"}
    found = {
        tuple(sorted(who)): [at for _, at in events] for who, events in events_by_person(shop.advertiser).items()
    }
    assert found == {("customer_id:C1",): [1, 2], ("browser:1", "customer_id:C2"): [3, 4]}


def test_a_proof_that_comes_late_does_not_take_a_shared_device_back(shop):
    shop.send("browser:1", "customer_id:C2", at=3)
    shop.send("browser:1", "customer_id:C1", at=1, received=5)
    assert names(shop) == {"customer_id:C1", "browser:1 customer_id:C2"}


def test_a_server_key_merges_by_what_it_proves_and_by_alias(shop):
    shop.send(None, "customer_id:C1")
    shop.send(None, "email:jo@example.com")
    shop.send(None, "customer_id:C1", "email:jo@example.com", kind="identify")
    assert names(shop) == {"customer_id:C1 email:jo@example.com"}

    shop.send(None, "customer_id:C2")
    shop.send(None, "customer_id:C1", kind="alias", previous="customer_id:C2")
    shop.send(None, "customer_id:C1", kind="alias", previous="customer_id:C3")
    assert names(shop) == {"customer_id:C1 customer_id:C2 customer_id:C3 email:jo@example.com"}


def test_a_batch_may_meet_merge_and_move_the_same_person(shop):
    steps = [
        shop.message("browser:1", at=1),
        shop.message("browser:1", "customer_id:C1", at=2),
        shop.message("browser:1", "customer_id:C2", at=3),
        shop.message(None, "customer_id:C1", kind="alias", previous="customer_id:C2", at=4),
        shop.message("browser:1", at=5),
    ]
    assert {end.outcome for end in record_all(steps)} == {"applied"}
    assert names(shop) == {"browser:1 customer_id:C1 customer_id:C2"}
    assert Event.all_advertisers.count() == 4
    assert Profile.all_advertisers.count() == 1


@pytest.mark.spec("T7")
def test_an_identifier_that_crowds_share_cannot_glue_them(shop, settings):
    settings.MUSTER_IDENTIFIERS_PER_PROFILE = 3
    before = REGISTRY.get_sample_value("muster_shared_identifiers_total")
    shop.send("browser:1", "customer_id:C1", "email:all@example.com")
    end = shop.send("browser:2", "email:all@example.com")

    assert end.outcome == "applied"
    assert end.notes == (resolution.SHARED,)
    assert REGISTRY.get_sample_value("muster_shared_identifiers_total") == before + 1
    assert names(shop) == {"browser:1 customer_id:C1 email:all@example.com"}
    shop.send("browser:2")
    assert shop.send("browser:2", "email:all@example.com").notes == (resolution.SHARED,)
    assert "browser:2" in names(shop)


@pytest.mark.spec("L")
def test_a_profile_takes_a_hundred_identifiers_and_no_more(shop, settings):
    ends = [shop.send(f"browser:{number}", "customer_id:C1") for number in range(100)]
    assert [end.notes for end in ends] == [()] * 99 + [(resolution.SHARED,)]
    assert Identifier.all_advertisers.count() == settings.MUSTER_IDENTIFIERS_PER_PROFILE == 100


@pytest.mark.spec("L")
def test_an_advertiser_has_a_thousand_attributes_and_no_more(shop, settings):
    most = settings.MUSTER_ATTRIBUTES_PER_ADVERTISER
    assert most == 1_000
    assert shop.send("browser:1", traits={f"a{number}": 1 for number in range(most - 1)}).outcome == "applied"
    first, second, known = record_all(
        [
            shop.message("browser:1", traits={"last": 1}),
            shop.message("browser:2", traits={"beyond": 1}),
            shop.message("browser:1", traits={"a1": 2}),
        ]
    )
    if first.outcome == "rejected":  # which of the new names has the last place follows from the names
        first, second = second, first
    assert (first.outcome, known.outcome) == ("applied", "applied")
    assert (second.outcome, second.reason) == ("rejected", "too_many_properties")
    assert AttributeName.all_advertisers.count() == most
    assert (
        shop.send("browser:1", "customer_id:C1", kind="group", account="acme", traits={"x": 1}).outcome == "applied"
    )


def test_a_message_of_nobody_is_rejected(shop):
    end = shop.send()
    assert (end.outcome, end.reason) == ("rejected", "no_id")
    assert not Profile.all_advertisers.exists()


def test_an_attribute_keeps_the_newest_value_and_since_when(shop):
    profile = UUID(bytes=shop.send("browser:1", at=10, traits={"plan": "gold"}, source_id=7).profile_id)

    def plan():
        row = Attribute.all_advertisers.get(profile_id=profile, name="plan")
        minutes = ((at - NOON) // timedelta(minutes=1) for at in (row.since, row.seen_at))
        return (row.value, *minutes)

    assert plan() == ("gold", 10, 10)
    assert Attribute.all_advertisers.get().source_id == 7
    for at, value, expected in [
        (20, "gold", ("gold", 10, 20)),
        (5, "silver", ("gold", 10, 20)),
        (7, "gold", ("gold", 7, 20)),
        (3, "gold", ("gold", 7, 20)),
        (30, "silver", ("silver", 30, 30)),
        (25, "silver", ("silver", 25, 30)),
    ]:
        shop.send("browser:1", at=at, received=60, traits={"plan": value})
        assert plan() == expected


@pytest.mark.parametrize("value", [None, True, 10, 1.5, 'with "quotes" \\ and ü', ["a", {"b": []}], {"x": {"y": 1}}])
def test_any_json_is_a_value(shop, value):
    profile = shop.send("browser:1", traits={"it": value}).profile_id
    assert attributes_of(UUID(bytes=profile)) == {"it": value}
    shop.send("browser:1", at=1, traits={"it": value})
    assert Attribute.all_advertisers.get().since == NOON


def test_a_group_links_a_profile_to_an_account_and_tells_of_that(shop):
    shop.send("browser:1", at=5, kind="group", account="acme", traits={"industry": "retail"})
    shop.send("browser:1", at=2, received=9, kind="group", account="acme")
    shop.send(None, "customer_id:C1", at=8, kind="group", account="acme")
    shop.send("browser:1", "customer_id:C1", at=9)

    account = Account.all_advertisers.get()
    assert account.pk.bytes == accounts.account_id(shop.advertiser.pk, "acme")
    assert AccountAttribute.all_advertisers.get().value == "retail"
    assert AccountMember.all_advertisers.get().since == NOON + timedelta(minutes=2)
    assert not Attribute.all_advertisers.exists()


def test_who_was_seen_again_after_an_hour_is_noted(shop):
    for minutes in (0, 30, 61, 200):
        shop.send("browser:1", "customer_id:C1", at=minutes)
        expected = {0: 0, 30: 0}.get(minutes, minutes)
        assert Profile.all_advertisers.get().last_seen_at == NOON + timedelta(minutes=expected)
    assert {row.last_seen_at for row in Identifier.all_advertisers.all()} == {NOON + timedelta(minutes=200)}


def test_advertisers_do_not_meet(shop):
    other = Sender(make_advertiser())
    record_all([shop.message("browser:1", "customer_id:C1"), other.message("browser:1", "customer_id:C1")])
    record_all([shop.message("browser:1", at=1), other.message("browser:1", at=1)])
    assert names(shop) == names(other) == {"browser:1 customer_id:C1"}
    assert Profile.all_advertisers.count() == 2


def _give_away(shop):
    """Let the browser go over to somebody else, as `settling` does it."""
    other = make_profile(shop.advertiser)
    Profile.all_advertisers.exclude(pk=other.pk).update(losses=F("losses") + 1)
    Identifier.all_advertisers.filter(value="1").update(profile_id=other.pk)


def _prove(shop):
    Identifier.all_advertisers.update(proved_at=NOON)


def _add_a_customer(shop):
    other = make_profile(shop.advertiser, customer_id="C2")
    Identifier.all_advertisers.filter(profile=other).update(
        profile=Profile.all_advertisers.exclude(pk=other.pk).get()
    )


@pytest.mark.parametrize(
    ("message", "meanwhile"),
    [
        pytest.param(["browser:1"], _give_away, id="a plain message, the browser is given away"),
        pytest.param(["browser:1", "customer_id:C1"], _give_away, id="a proof, the browser is given away"),
        pytest.param(["browser:1", "customer_id:C1"], _prove, id="a proof, the browser has proved another time"),
        pytest.param(["browser:1", "customer_id:C1"], _add_a_customer, id="a proof, the profile has got a customer"),
    ],
)
def test_who_changes_between_the_look_and_the_lock_is_looked_up_again(shop, message, meanwhile):
    """The talk is held up to its locks; meanwhile another one changes whose the message is."""
    shop.send("browser:1")
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        talk = recording.record([shop.message(*message)])
        statements = next(talk)
        with pytest.raises(ProfileGone):
            while True:
                rows = []
                if any(template is settling._LOCK for template, _ in statements):
                    meanwhile(shop)
                for template, values in statements:
                    cursor.execute(template.sql, values)
                    if template.does_read:
                        rows.append(cursor.fetchall())
                statements = talk.send(rows)
        transaction.set_rollback(True)


def test_nothing_is_half_way(shop):
    shop.send("browser:1", traits={"plan": "free"})
    shop.send(None, "customer_id:C1")

    def state():
        models = (Event, Attribute, Identifier, Profile, Merge, MessageId)
        return [sorted(map(str, model._base_manager.values_list())) for model in models]

    before = state()
    talk = recording.record([shop.message("browser:1", "customer_id:C1", event="x" * 300)])
    with (
        pytest.raises(DataError, match="too long"),
        transaction.atomic(),
        batch_cursor(connection.connection) as cursor,
    ):
        speak(cursor, talk)
    assert state() == before


def test_the_same_goes_through_a_pipeline_with_the_plans_of_the_door(shop):
    """All that a batch may bring, over one connection as the door has it."""
    make_member(make_segment(shop.advertiser), make_profile(shop.advertiser, browser="1"))
    make_member(make_segment(shop.advertiser, "vip"), make_profile(shop.advertiser, customer_id="C1"))
    batches = [
        [shop.message("browser:1", at=1, traits={"plan": "free", "city": None})],
        [shop.message("browser:1", kind="group", account="acme", at=2, traits={"industry": "retail"})],
        [shop.message(None, "customer_id:C1", at=3, traits={"plan": 'gold "plus"'})],
        [shop.message("browser:1", "customer_id:C1", at=70), shop.message("browser:1", linked=["device:a:x"], at=71)],
        [shop.message("browser:1", "customer_id:C2", at=140)],
        [shop.message(None, "customer_id:C1", kind="alias", previous="customer_id:C3", at=141)],
    ]

    async def send():
        pipeline = await Pipeline.connect(psycopg.conninfo.make_conninfo(conninfo(), options=SESSION_OPTIONS))
        ends = [end for batch in batches for end in await pipeline.transact(recording.record(batch))]
        again = await pipeline.transact(recording.record(batches[0]))
        pipeline.close()
        return ends, again

    ends, (again,) = asyncio.run(send())
    assert {end.outcome for end in ends} == {"applied"}
    assert again.outcome == "duplicate"
    assert names(shop) == {"customer_id:C1 customer_id:C3 device:a:x", "browser:1 customer_id:C2"}
    customer = UUID(bytes=ends[2].profile_id)
    assert attributes_of(customer) == {"plan": 'gold "plus"', "city": None}
    assert Membership.all_advertisers.filter(profile_id=customer).count() == 2
    assert AccountMember.all_advertisers.get().profile_id == customer
