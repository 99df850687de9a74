"""The generated demo: a shop that never was, and what the running server made of its fires."""

import csv
import gzip
import io
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audience.models import Advertiser, WriteKey
from audience.tenancy import acting_for
from config.demo import shop
from exports.models import Export, Run
from pixels.models import Fire
from segments import counts
from segments.membership import holds
from segments.models import Membership, Segment
from tests.config.by_hand import Fact, Played, Rule, Story, by_day
from tests.running import until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
VISITORS, SEED = 250, 7


def plan(**fields):
    return shop.plan_fires(**{"seed": SEED, "visitors": VISITORS, "until": NOON} | fields)


class TestThePlan:
    """What the shop's visitors are going to do."""

    def test_the_same_seed_gives_the_same_fires_and_another_one_others(self):
        assert plan() == plan()
        assert plan() != plan(seed=SEED + 1)

    def test_later_on_the_same_day_there_are_only_more(self):
        morning, evening = plan(until=NOON), plan(until=NOON + timedelta(hours=9))

        assert evening[: len(morning)] == morning
        assert len(evening) > len(morning)

    def test_no_fire_is_in_the_future_and_each_of_sixty_days_has_some(self):
        fires = plan()
        days = {fire.at.astimezone(shop.ZoneInfo(shop.TIME_ZONE)).date() for fire in fires}

        assert fires[-1].at < NOON
        assert [fire.at for fire in fires] == sorted(fire.at for fire in fires)
        assert days == {NOON.date() - n * DAY for n in range(60)}

    def test_one_visitors_fires_are_never_at_one_instant(self):
        instants = Counter((fire.visitor, fire.at) for fire in plan())

        assert set(instants.values()) == {1}

    def test_weekdays_and_hours_have_their_shape(self):
        local = [fire.at.astimezone(shop.ZoneInfo(shop.TIME_ZONE)) for fire in plan(visitors=3000)]
        weekdays, hours = Counter(at.weekday() for at in local), Counter(at.hour for at in local)

        assert weekdays[6] > 1.1 * weekdays[1]
        assert weekdays[shop.NEWSLETTER_WEEKDAY] > 1.3 * weekdays[1]
        assert hours[20] > 5 * hours[4]


RULES = {
    "visitors": Rule(14 * DAY),
    "newsletter": Rule(7 * DAY),
    "adverts": Rule(3 * DAY),
    "cart": Rule(timedelta(hours=36), value=lambda values: values[-1]),
    "bought": Rule(30 * DAY, value=sum),
    "bought-50": Rule(45 * DAY, value=max),
    "gift-buyers": Rule(21 * DAY, is_prolonged=False),
    "refunded": Rule(14 * DAY, value=lambda values: values[-1]),
}
DOES = {
    "Every page": [("visitors", True)],
    "Newsletter landing": [("newsletter", True)],
    "Advert landing": [("adverts", True)],
    "Cart": [("cart", True)],
    "Order": [("bought", True), ("cart", False)],
    "Order over 50": [("bought-50", True)],
    "Gift order": [("gift-buyers", True)],
    "Refund": [("refunded", True), ("bought-50", False)],
}


def is_refused(fire):
    return "Bot" in fire.agent or fire.value.startswith("[")


def facts_of(fires):
    for fire in fires:
        if not is_refused(fire):
            for code, is_add in DOES[fire.pixel]:
                value = int(fire.value) if fire.value and is_add else None
                yield Fact(fire.at, fire.visitor, code, is_add, value)


@pytest.fixture(scope="module")
def demo(live_muster):
    return Played(live_muster, "microseconds", f"--visitors={VISITORS}", f"--seed={SEED}")


@pytest.fixture(scope="module")
def planned(demo):
    return plan(until=demo.began_at)


def test_every_fire_is_counted_with_its_outcome(demo, planned):
    bots = sum("Bot" in fire.agent for fire in planned)
    broken = sum(fire.value.startswith("[") for fire in planned)
    counted = demo.stored.outcomes()

    assert counted == {
        key: fires
        for key, fires in {
            ("applied", ""): len(planned) - bots - broken,
            ("rejected", "bot"): bots,
            ("rejected", "placeholder_left"): broken,
        }.items()
        if fires
    }


def test_a_fire_keeps_its_time_its_page_and_its_visitor(demo, planned, live_models):
    with acting_for(demo.advertiser_id):
        fires = Fire.objects.select_related("pixel").order_by("received_at")
        stored = [(fire.received_at, fire.pixel.name, fire.page_path, fire.outcome) for fire in fires]
        profiles = [fire.profile_id for fire in fires if fire.profile_id]
        hosts = set(fires.values_list("page_host", flat=True))

    good = [fire for fire in planned if not is_refused(fire)]
    assert [one[:3] for one in stored] == [(fire.at, fire.pixel, fire.path) for fire in planned]
    assert hosts == {shop.HOST}
    # One visitor is one profile and the other way round.
    pairs = set(zip((fire.visitor for fire in good), profiles, strict=True))
    assert len(pairs) == len({fire.visitor for fire in good}) == len(set(profiles))


def test_members_joins_and_leaves_are_those_worked_out_by_hand(demo, planned):
    story, now = Story.of(RULES, facts_of(planned)), timezone.now()

    assert demo.stored.members(now) == story.members(now)
    until(lambda: demo.stored.steps(now) == story.steps(now), "the transitions are those worked out by hand")


def of_one_visitor(fires, now):
    """Yield the codes of the rules that are true of a visitor, from all fires that were not refused."""

    def told(pixel, since):
        return [(fire.at, int(fire.value or 0)) for fire in fires if fire.pixel == pixel and fire.at > now - since]

    ever, month = 100 * DAY, 30 * DAY
    orders, carts = told("Order", ever), told("Cart", ever)
    if len(told("Order", month)) >= 2:
        yield "often"
    if sum(total for _, total in told("Order", month)) > 100:
        yield "spent-100"
    if orders and not told("Order", month):
        yield "lapsed"
    if told("Newsletter landing", 7 * DAY) and not told("Order", month):
        yield "letter-not-bought"
    if carts and not any(at > carts[-1][0] for at, _ in orders):
        if 0 < carts[-1][1] < 100:
            yield "cart-under-100"
        if now - 7 * DAY < carts[-1][0] <= now - DAY:
            yield "cart-left"


def test_the_rules_find_those_worked_out_by_hand(demo, planned):
    visitors, now = defaultdict(list), timezone.now()
    for fire in planned:
        if not is_refused(fire):
            visitors[fire.visitor].append(fire)
    found = Counter(code for fires in visitors.values() for code in of_one_visitor(fires, now))

    sizes = demo.stored.sizes_by_rules(now)
    assert len(sizes) == 6
    assert {code: size for code, size in sizes.items() if size} == found
    assert found["lapsed"]
    assert found["cart-under-100"]
    assert found["letter-not-bought"]


def test_who_will_come_and_go_by_time_alone_is_known(demo, live_models):
    now = timezone.now()
    with acting_for(demo.advertiser_id):
        rows = Membership.objects.filter(segment__kind=Segment.Kind.RULE)
        assert rows.filter(starts_at__gt=now, segment__code="lapsed").exists()
        assert rows.filter(holds(now), expires_at__lt=now + 7 * DAY, segment__code="letter-not-bought").exists()


def test_the_key_of_the_shops_past_is_of_no_use_any_more(demo, live_models):
    with acting_for(demo.advertiser_id):
        assert WriteKey.objects.get(kind=WriteKey.Kind.SERVER).revoked_at is not None


def test_the_charts_have_sixty_days(demo, planned, live_models):
    story, zone = Story.of(RULES, facts_of(planned)), shop.ZoneInfo(shop.TIME_ZONE)

    def are_as_worked_out():
        now = timezone.now()
        today, moved = now.astimezone(zone).date(), {}
        for segment in Segment.objects.filter(kind=Segment.Kind.PIXEL):
            days = counts.days(segment, today - 59 * DAY, today)
            moved |= {(segment.code, day.day): (day.joins, day.leaves) for day in days if day.joins or day.leaves}
            if days[-1].size != counts.size(segment, now):
                return False
        return moved == by_day(story.steps(now), shop.TIME_ZONE)

    with acting_for(demo.advertiser_id):
        until(are_as_worked_out, "the charts are as worked out by hand")
        assert Fire.objects.filter(received_at__gte=timezone.now() - DAY).exists()


def test_the_files_lie_where_the_command_says_and_hold_the_members(demo, live_models):
    files = demo.files()

    with acting_for(demo.advertiser_id):
        assert {run.state for run in Run.objects.all()} == {"delivered"}
        assert set(Export.objects.values_list("schedule", flat=True)) == {"nightly", "once"}
        nightly = Export.objects.get(schedule="nightly")
        assert nightly.next_due_at is not None
        as_of = Run.objects.get(export=nightly).as_of
    assert len(files) == 3
    for rows, path in files:
        text = path.read_bytes()
        text = gzip.decompress(text) if path.suffix == ".gz" else text
        assert len(list(csv.DictReader(io.StringIO(text.decode(), newline="")))) == rows
    buyers = {"bought", "bought-50", "gift-buyers"}
    members = demo.stored.members(as_of)
    assert files[0][0] == sum(people for what, people in members.items() for segment, *_ in what if segment in buyers)


def test_a_second_time_it_says_so_and_changes_nothing(demo, live_muster, live_models):
    before = list(Advertiser.objects.values_list("pk", flat=True))

    assert "is there already; nothing was changed" in live_muster.manage("demo")
    assert list(Advertiser.objects.values_list("pk", flat=True)) == before


def test_without_a_server_nothing_is_made(live_models, settings):
    settings.MUSTER_PIXEL_URL = "http://127.0.0.1:9"
    before = Advertiser.objects.count()

    with pytest.raises(CommandError, match="Start Muster first"):
        call_command("demo", "--again")
    assert Advertiser.objects.count() == before
