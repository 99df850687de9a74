"""The door's picture of advertisers, pixels and segments, and how fast it follows an edit."""

from datetime import UTC, datetime

import psycopg
import pytest
from django.db import connection, transaction

from audience.instants import instant
from audience.models import Advertiser
from audience.tenancy import acting_for
from pixels.catalogue import Catalogue, announce
from pixels.hosts import Hosts
from pixels.intake import database_conninfo
from pixels.models import Partner, Piggyback, Pixel, PixelAction
from pixels.parsing import Item
from segments import rulebook
from segments.models import Segment
from segments.versions import save_rule
from tests.factories import make_advertiser, make_partner, make_piggyback, make_pixel, make_segment
from tests.pixels.doors import until
from tests.segments.rules.asking import rule_text

pytestmark = pytest.mark.django_db(transaction=True)
ONE_SECOND = 1.0


@pytest.fixture
def catalogue():
    catalogue = Catalogue(database_conninfo())
    assert catalogue.start()
    yield catalogue
    catalogue.stop()


def test_what_it_knows(catalogue):
    advertiser = make_advertiser(domains=["shop.example"], time_zone="Pacific/Auckland", phone_country="NZ")
    cart = make_segment(advertiser, "Cart", domains=["own.example"], longest_lifetime_minutes=99_999)
    pixel = make_pixel(advertiser, cart, value_source="page")
    catalogue.reload()
    picture = catalogue.picture

    owner = picture.advertisers[advertiser.pk]
    assert owner.segments["cart"] is picture.segments[cart.pk]
    assert owner.id_key == bytes(advertiser.id_key)
    assert owner.phone_country == "NZ"
    known = picture.segments[cart.pk]
    assert known.hosts.allow("shop.example")
    assert known.hosts.allow("own.example")
    assert known.longest_lifetime_minutes == 99_999
    assert picture.pixels[pixel.public_key].items == (Item("add", str(cart.pk)),)
    assert picture.pixels[pixel.public_key].takes_value
    assert catalogue.day_of(advertiser.pk, instant(datetime(2026, 11, 22, 20, tzinfo=UTC))).date.day == 23
    assert catalogue.day_of(-1, instant(datetime(2026, 11, 22, 20, tzinfo=UTC))).date.day == 22


def edits(advertiser, segment, pixel):
    """Yield each kind of edit, and what it makes true of a picture."""

    def rename(row, **fields):
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()

    key = pixel.public_key
    yield lambda: rename(segment, code="basket"), lambda seen: "basket" in seen.advertisers[advertiser.pk].segments
    yield lambda: rename(pixel, state="paused"), lambda seen: seen.pixels[key].is_paused
    yield (
        lambda: rename(advertiser, is_cookie_check_on=True),
        lambda seen: seen.advertisers[advertiser.pk].is_cookie_check_on,
    )
    yield lambda: PixelAction.objects.get().delete(), lambda seen: seen.pixels[key].items == ()
    yield (
        lambda: (Segment.objects.filter(pk=segment.pk).update(is_active=False), announce()),
        lambda seen: not seen.segments[segment.pk].is_active,
    )
    yield (
        lambda: make_partner(advertiser, sync_url="https://sync.partner.example/?u=${MUSTER_ID}"),
        lambda seen: [one.sync is not None for one in seen.advertisers[advertiser.pk].partners] == [True],
    )
    yield (
        lambda: Partner.objects.get().delete(),
        lambda seen: not seen.advertisers[advertiser.pk].partner_hosts.allow("sync.partner.example"),
    )
    yield (
        lambda: (
            make_piggyback(segment, "https://ad.partner.example/p"),
            rename(advertiser, redirect_hosts=["ad.partner.example"]),
        ),
        lambda seen: len(seen.segments[segment.pk].piggybacks) == 1,
    )
    yield lambda: Piggyback.objects.get().delete(), lambda seen: not seen.segments[segment.pk].piggybacks
    yield lambda: pixel.delete(), lambda seen: key not in seen.pixels


def test_each_edit_is_seen_within_a_second(catalogue):
    advertiser = make_advertiser()
    segment = make_segment(advertiser)
    pixel = make_pixel(advertiser, segment)
    until(lambda: pixel.public_key in catalogue.picture.pixels, ONE_SECOND)
    with acting_for(advertiser.pk):
        for edit, has_come in edits(advertiser, segment, pixel):
            assert not has_come(catalogue.picture)
            edit()
            until(lambda has_come=has_come: has_come(catalogue.picture), ONE_SECOND)


def test_each_version_of_a_rule_is_known_within_a_second(catalogue):
    segment = make_segment(make_advertiser(), kind="rule")
    for number in (1, 2):
        save_rule(segment, rule_text({"event": "view", "count": {"at_least": number}}))
        until(lambda number=number: versions_in_the_book(segment) == [number], ONE_SECOND)
    rulebook.forget()


def versions_in_the_book(segment):
    rules = rulebook.current().get(segment.advertiser_id)
    return [entry.ruled.version for entry in rules.entries] if rules else []


def test_an_edit_is_seen_when_it_is_committed_and_not_if_it_is_taken_back(catalogue):
    with transaction.atomic():
        first = make_advertiser()
        catalogue.reload()
        assert first.pk not in catalogue.picture.advertisers
    until(lambda: first.pk in catalogue.picture.advertisers, ONE_SECOND)

    with transaction.atomic():
        second = make_advertiser()
        transaction.set_rollback(True)
    third = make_advertiser()
    until(lambda: third.pk in catalogue.picture.advertisers, ONE_SECOND)
    assert second.pk not in catalogue.picture.advertisers


def test_a_lost_connection_is_opened_again_and_nothing_is_missed(catalogue):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster-catalogue'"
        )
    advertiser = make_advertiser()
    until(lambda: advertiser.pk in catalogue.picture.advertisers, 5)
    later = make_advertiser()
    until(lambda: later.pk in catalogue.picture.advertisers, ONE_SECOND)


def test_the_last_picture_stays_while_a_migration_holds_the_tables(catalogue):
    advertiser = make_advertiser()
    until(lambda: advertiser.pk in catalogue.picture.advertisers, ONE_SECOND)
    with psycopg.connect(database_conninfo()) as migration:
        migration.execute("LOCK TABLE segments_segment IN ACCESS EXCLUSIVE MODE")
        later = make_advertiser()
        assert advertiser.pk in catalogue.picture.advertisers
    until(lambda: later.pk in catalogue.picture.advertisers, 5)


def test_without_a_database_it_starts_empty_and_says_so():
    catalogue = Catalogue("host=127.0.0.1 port=1 dbname=muster")
    assert not catalogue.start(timeout_seconds=0.2)
    assert not catalogue.is_loaded
    assert catalogue.picture.pixel("x", datetime.now(UTC)) is None
    catalogue.stop()


def test_an_advertiser_that_came_by_another_road_gets_its_direct_pixel(catalogue):
    (advertiser,) = Advertiser.objects.bulk_create([Advertiser(name="By another road")])
    catalogue.reload()
    assert advertiser.pk in catalogue.picture.advertisers
    with acting_for(advertiser.pk):
        assert Pixel.objects.get().is_direct
    catalogue.reload()
    with acting_for(advertiser.pk):
        assert Pixel.objects.count() == 1


def test_a_renewed_key_ends():
    advertiser = make_advertiser()
    end = datetime(2026, 12, 1, tzinfo=UTC)
    pixel = make_pixel(advertiser, previous_key="OLDoldOLDoldOLD1", previous_key_ends_at=end)
    catalogue = Catalogue(database_conninfo())
    catalogue.reload()
    seen = catalogue.picture
    assert seen.pixel("OLDoldOLDoldOLD1", instant(end) - 1) is seen.pixels[pixel.public_key]
    assert seen.pixel("OLDoldOLDoldOLD1", instant(end)) is None
    assert seen.pixel(pixel.public_key, instant(end)) is not None
    catalogue.stop()


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("shop.example", True),
        ("www.shop.example", False),
        ("a.mall.example", True),
        ("b.a.mall.example", True),
        ("mall.example", False),
        ("xmall.example", False),
        (".mall.example", True),
        ("", False),
    ],
)
def test_hosts(host, is_allowed):
    assert Hosts(["Shop.example", "*.mall.example"]).allow(host) is is_allowed
    assert not Hosts([]).allow(host)
