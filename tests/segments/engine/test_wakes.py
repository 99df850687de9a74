"""Whatever can change an answer wakes the rules that feel it, by the door that a user has, in its transaction."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from audience import consents
from audience.columns import batch_cursor
from audience.consents import Said
from audience.context.cells import cell_of
from audience.identity import identifier_id
from audience.instants import instant
from audience.models import Event, Identifier, Weather
from audience.talk import speak
from audience.upserts import OfPerson, tell_of_people
from pixels.partner_ids import forget_partner_ids
from segments import rulebook
from segments.deletion import StillUsed, delete_segment
from segments.members import Ask, change_members
from segments.models import RuleVersion, Transition
from segments.sweeper import sweep
from tests.factories import make_segment
from tests.segments.engine.door import Door
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

VIEW = {"event": "view", "window": {"within": "7d"}}
GOLD = {"attribute": "plan", "equals": "gold"}
GRANTED = {"consent": "advertising", "equals": "granted"}


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def x(shop):
    return make_segment(shop.advertiser, code="x")


def tell(shop, when, **told):
    tell_of_people(shop.advertiser, [OfPerson("customer_id", "C1", told)], at=at(when))


def consent(shop, who, state, when, until=None):
    identifier = Identifier.all_advertisers.get(pk=UUID(bytes=identifier_id(*shop.key(who))))
    said = Said(
        shop.advertiser.pk,
        identifier.profile_id.bytes,
        "advertising",
        state,
        instant(at(when)),
        instant(at(until)) if until else None,
    )
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        speak(cursor, consents.put([said], instant(at(when))))


def test_attributes_by_the_api_wake_rules_in_a_process_that_has_read_none(shop):
    segment = shop.segment("gold", GOLD)
    rulebook.forget()
    tell(shop, "05-01", plan="gold")
    rulebook.forget()
    tell(shop, "05-02", plan="tin")
    assert shop.steps(segment) == steps("join 05-01 fact, leave 05-02 fact")


def test_who_is_made_by_the_api_is_known_by_the_identifier(shop, x):
    known = shop.segment("known", {"person": "known"})
    email = shop.segment("mail", {"identity": "email", "ends_with": "@example.com"})
    change_members(x, [Ask("add", "email", "jo@example.com")], at=at("05-01"))
    assert shop.steps(known) == shop.steps(email) == steps("join 05-01 fact")


def test_66_a_consent_wakes_and_a_withdrawn_one_takes_out(shop):
    segment = shop.segment("granted", GRANTED)
    user = shop.segment("viewers", {"all_of": [VIEW, {"segment": "granted", "in": True}]})
    shop.views("p", "05-01 09:00")
    consent(shop, "p", "granted", "05-01 10:00", until="05-31 10:00")
    assert shop.members(segment, "05-31 09:59") == 1
    assert shop.members(segment, "05-31 10:00") == 0
    consent(shop, "p", "denied", "05-05 10:00")
    expected = "join 05-01 10:00 consent, leave 05-05 10:00 consent"
    assert shop.steps(segment) == shop.steps(user) == steps(expected)


def test_who_opts_out_is_out_of_everything_and_stays_so(shop, x):
    viewers = shop.segment("viewers", VIEW)
    users = shop.segment("users", {"segment": "viewers", "in": True})
    with_x = shop.segment("with-x", {"segment": "x", "in": True})
    door = Door(shop, x)
    door.fire("p", "05-01 09:00")
    shop.views("p", "05-01 10:00")
    door.say_no("p", when="05-02")
    sweep_at("05-09")
    for segment in (viewers, users, with_x):
        assert shop.members(segment, "05-02") == 0
        assert [(change, cause) for change, _, cause in shop.steps(segment)][1:] == [("leave", "consent")]


def test_an_opt_out_wakes_what_feels_the_lost_identifier_and_the_ended_membership(shop, x):
    without = shop.segment("without", {"all_of": [{"event": "view"}, {"identity": "browser", "known": False}]})
    out = shop.segment("out", {"segment": "x", "in": False})
    door = Door(shop, x)
    for who in ("p", "q"):
        door.fire(who, "05-01 09:00")
        shop.views(who, "05-01 10:00")
    door.say_no("p", "q", when="05-02")
    assert shop.steps(without) == steps("join 05-02 fact, join 05-02 fact")
    assert shop.steps(out) == steps("join 05-02 segment, join 05-02 segment")


def test_the_id_of_a_partner_wakes_and_so_does_its_loss(shop, x):
    synced = shop.segment("synced", {"identity": "partner:acme", "known": True})
    new = shop.segment("quiet", {"event": "buy", "count": {"none": True}})
    Door(shop, x).sync("p", "05-01", acme="77")
    Door(shop, x).sync("p", "05-02", other="78")
    assert shop.steps(new) == steps("join 05-01 fact")
    forget_partner_ids(at("05-01") + timedelta(days=181))
    assert [(change, cause) for change, _, cause in shop.steps(synced)] == [("join", "fact"), ("leave", "fact")]


def test_an_event_with_the_weather_of_its_place_wakes_and_three_hours_later_it_is_none(shop, settings):
    settings.MUSTER_WEATHER_URL = "http://weather.invalid"  # nobody is asked: what was observed is there
    segment = shop.segment("rain", {"situation": "weather.condition", "equals": "rain"})
    munich = {"place": {"lat": 48.14, "lon": 11.58}}
    shop.track("p", "view", "05-01 10:00", context=munich)
    cell = cell_of(48.14, 11.58)
    Weather.objects.filter(lat_tenths=cell.lat_tenths).update(condition="rain", observed_at=at("05-01 10:15"))
    assert shop.members(segment, "05-01 10:16") == 0, (
        "the weather of a place is nobody's until something happens there"
    )
    shop.track("p", "view", "05-01 10:20", context=munich)
    sweep_at("05-02")
    assert shop.steps(segment) == steps("join 05-01 10:20 fact, leave 05-01 13:20 time")


def test_what_is_merged_moves_with_all_that_rules_ask(shop, x):
    rules = {
        "with-x": {"segment": "x", "in": True},
        "gold": GOLD,
        "granted": GRANTED,
        "mail": {"identity": "email", "known": True},
    }
    segments = {code: shop.segment(code, node) for code, node in rules.items()}
    tell_of_people(shop.advertiser, [OfPerson("email", "q@example.com", {"plan": "gold"})], at=at("05-01"))
    change_members(x, [Ask("add", "email", "q@example.com")], at=at("05-01"))
    consent(shop, "email:q@example.com", "granted", "05-01")
    shop.track("customer_id:C1", "login", "04-30")
    shop.track("customer_id:C1", "", "05-02", proven=["customer_id:C1", "email:q@example.com"])
    for code, segment in segments.items():
        assert shop.members(segment, "05-02") == 1, code
        joins = Transition.all_advertisers.filter(segment=segment, profile_id=_profile(shop, "customer_id:C1"))
        assert joins.filter(change="join").exists(), code


def _profile(shop, who):
    return Identifier.all_advertisers.get(pk=UUID(bytes=identifier_id(*shop.key(who)))).profile_id


def test_56_of_segments_that_use_each_other_the_used_one_comes_first(shop, x):
    first = shop.segment("first", {"segment": "x", "in": True})
    second = shop.segment("second", {"segment": "first", "joined": {"within": "7d"}})
    third = shop.segment("third", {"segment": "second", "in": False})
    Door(shop, x).fire("p", "05-01")
    assert shop.steps(first) == shop.steps(second) == steps("join 05-01 segment")
    sweep_at("05-09")
    assert shop.steps(second) == steps("join 05-01 segment, leave 05-08 time")
    assert shop.steps(third) == steps("join 05-08 time")


def test_a_segment_that_a_rule_names_is_not_deleted(shop, x):
    shop.segment("with-x", {"segment": "x", "in": True})
    with pytest.raises(StillUsed, match="With-X"):
        delete_segment(x)


def test_a_changed_clock_builds_anew_what_asks_it_and_nothing_else(shop):
    today = shop.segment("today", {"event": "view", "window": {"calendar": "today"}})
    user = shop.segment("user", {"segment": "today", "in": True})
    week = shop.segment("week", VIEW)
    shop.views("p", "05-01 10:00")
    assert shop.members(today, "05-01 22:00") == 0

    shop.advertiser.time_zone = "America/New_York"
    shop.advertiser.save()
    shop.build("05-01 12:00")
    assert (shop.members(today, "05-01 22:00"), shop.members(user, "05-01 22:00")) == (1, 1)
    assert (shop.members(today, "05-02 04:00"), shop.members(user, "05-02 04:00")) == (0, 0)
    assert shop.steps(today) == steps("join 05-01 10:00 fact"), "who stays is told nothing"
    numbers = RuleVersion.all_advertisers.filter(state="active").order_by("segment_id")
    assert [(row.segment_id, row.number, row.zone) for row in numbers] == [
        (today.pk, 2, "America/New_York"),
        (user.pk, 2, "America/New_York"),
        (week.pk, 1, "America/New_York"),
    ]


def test_a_changed_currency_builds_anew_what_asks_for_amounts_and_nothing_else(shop):
    rich = shop.segment("rich", {"event": "buy", "sum": {"of": "total", "at_least": 50}})
    many = shop.segment("many", {"event": "buy", "sum": {"of": "quantity", "at_least": 1}})
    shop.track("p", "buy", "05-01 10:00", total=60, quantity=1, currency="USD")
    assert (shop.members(rich, "05-01 11:00"), shop.members(many, "05-01 11:00")) == (0, 1)

    shop.advertiser.currency = "USD"
    shop.advertiser.save()
    shop.build("05-01 12:00")
    assert (shop.members(rich, "05-01 13:00"), shop.members(many, "05-01 13:00")) == (1, 1)
    assert shop.steps(rich) == steps("join 05-01 12:00 edit")
    numbers = RuleVersion.all_advertisers.filter(state="active").order_by("segment_id")
    assert [(row.segment_id, row.number, row.currency) for row in numbers] == [
        (rich.pk, 2, "USD"),
        (many.pk, 1, "USD"),
    ]


def test_a_rule_that_cannot_be_read_holds_up_no_other_clock(shop):
    broken = shop.segment("broken", VIEW)
    today = shop.segment("today", {"event": "view", "window": {"calendar": "today"}})
    RuleVersion.all_advertisers.filter(segment=broken).update(rule='{"muster_rule": 2}')
    shop.advertiser.time_zone = "America/New_York"
    shop.advertiser.save()
    shop.build("05-01")
    today.refresh_from_db()
    assert today.active_version == 2


def test_until_it_is_built_the_old_clock_serves(shop):
    today = shop.segment("today", {"event": "view", "window": {"calendar": "today"}})
    shop.advertiser.time_zone = "America/New_York"
    shop.advertiser.save()
    shop.views("p", "05-01 10:00")
    assert shop.members(today, "05-01 22:00") == 0


def test_another_phone_country_is_that_of_what_comes_from_then_on(shop):
    segment = shop.segment("germans", {"identity": "phone", "starts_with": "+49"})
    tell_of_people(shop.advertiser, [OfPerson("phone", "+49 89 123456", {"n": 1})], at=at("05-01"))
    shop.advertiser.phone_country = "FR"
    shop.advertiser.save()
    shop.build("05-02")
    assert shop.steps(segment) == steps("join 05-01 fact")


def test_what_retention_drops_was_out_by_time_before(shop):
    segment = shop.segment("ever", {"event": "view"})
    shop.views("p", "05-01 10:00")
    end = at("05-01 10:00") + timedelta(days=Event.partitioning.keep_days)
    sweep(end)
    assert shop.steps(segment) == [*steps("join 05-01 10:00 fact"), ("leave", end, "time")]
