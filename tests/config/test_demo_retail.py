"""The real orders as a demo: how they are read, and what the running server made of them, counted independently."""

import csv
import gzip
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from config.demo import retail, tags
from tests.config.by_hand import Fact, Played, Rule, Story, by_day
from tests.running import until

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEAD = "invoice_no,stock_code,description,quantity,invoice_date,unit_price,customer_id,country\n"
LINES = """\
1001,A,MUG,6,2011-12-08T09:31:00Z,2.55,17850,United Kingdom
1001,A,"GIFT ""BAG"", LARGE",2,2011-12-08T09:30:00Z,17.50,17850,United Kingdom
1001,A,MUG,6,2011-12-08T09:31:00Z,2.55,17850,United Kingdom
1002,B,MUG,1,2011-12-08T10:00:00Z,9.99,,United Kingdom
C1003,A,MUG,-3,2011-12-09T08:00:00Z,2.55,17850,United Kingdom
1004,C,LAMP,1,2011-12-09T08:00:00Z,50.00,12431,Belgium
1005,C,SPOON,1,2011-12-09T12:50:00Z,0.38,17850,United Kingdom
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "retail.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


class TestReading:
    """From lines to fires."""

    def test_the_lines_of_an_invoice_are_one_fire_with_their_sum(self, tmp_path):
        first = retail.read_invoices(write(tmp_path, HEAD + LINES))[0]

        assert (first.number, first.customer, first.amount, first.has_gift) == ("1001", 17850, Decimal("65.60"), True)
        assert first.at == datetime(2011, 12, 8, 9, 30, tzinfo=UTC), "the earliest of its lines"

    def test_orders_and_cancellations_become_fires(self, tmp_path):
        fires = retail.plan_fires(retail.read_invoices(write(tmp_path, HEAD + LINES)), NOON + timedelta(hours=6))
        told = [(f"{fire.at:%d %H:%M}", fire.visitor, fire.pixel, fire.value) for fire in fires]

        assert told == [
            ("21 09:30", 17850, tags.ORDER, "65"),
            ("21 09:30", 17850, tags.ORDER_OVER_50, "65"),
            ("21 09:30", 17850, tags.GIFT_ORDER, ""),
            ("22 08:00", 17850, tags.REFUND, "7"),
            ("22 08:00", 12431, tags.ORDER, "50"),
            ("22 08:00", 12431, tags.ORDER_FROM_ABROAD, ""),
            ("22 12:50", 17850, tags.ORDER, "0"),
        ]

    @pytest.mark.parametrize(
        ("now", "last"),
        [
            ("2026-11-22T23:59:59", "2026-11-22T12:50:00"),
            ("2026-11-22T12:51:00", "2026-11-22T12:50:00"),
            ("2026-11-22T12:50:59", "2026-11-22T12:49:00"),
            ("2026-11-22T00:00:30", "2026-11-21T23:59:00"),
        ],
    )
    def test_the_last_day_is_today_and_nothing_lies_ahead(self, now, last):
        before = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
        shift = retail.shift_to(before, datetime.fromisoformat(now).replace(tzinfo=UTC))

        assert before + shift == datetime.fromisoformat(last).replace(tzinfo=UTC)

    @pytest.mark.parametrize(
        "text", ["", "no,such,columns\n1,2,3\n", HEAD, HEAD + LINES.replace("17850", "x"), HEAD + "1001"]
    )
    def test_another_file_is_refused_with_a_sentence(self, tmp_path, text):
        with pytest.raises(retail.BadRetailFile, match="is not the Online Retail file"):
            retail.read_invoices(write(tmp_path, text))

    def test_a_missing_or_broken_file_is_refused_with_a_sentence(self, tmp_path):
        path = write(tmp_path, HEAD + LINES)
        path.write_bytes(path.read_bytes()[:-20])
        for one in (path, tmp_path / "absent.csv.gz"):
            with pytest.raises(retail.BadRetailFile, match="is not the Online Retail file"):
                retail.read_invoices(one)


RULES = {
    "bought": Rule(30 * DAY, value=sum),
    "bought-50": Rule(45 * DAY, value=max),
    "gift-buyers": Rule(21 * DAY, is_prolonged=False),
    "refunded": Rule(14 * DAY, value=lambda values: values[-1]),
    "abroad": Rule(30 * DAY),
}


@pytest.fixture(scope="module")
def invoices(retail_file):
    """The invoices with a customer: (minute, number) -> what is in them, read without the product's code."""
    found = defaultdict(list)
    with gzip.open(retail_file, "rt", newline="") as lines:
        for line in csv.DictReader(lines):
            if line["customer_id"]:
                found[line["invoice_no"]].append(line)
    return found


@pytest.fixture(scope="module")
def demo(live_muster, retail_file):
    return Played(live_muster, "minute", "--retail", str(retail_file))


@pytest.fixture(scope="module")
def shift(demo, invoices):
    """By how much the times were moved, from the last one of each side."""
    last = max(datetime.fromisoformat(line["invoice_date"]) for lines in invoices.values() for line in lines)
    ((stored,),) = demo.stored.ask(
        "SELECT date_trunc('minute', max(received_at)) FROM pixels_fire WHERE advertiser_id = %(advertiser)s"
    )
    return stored - last


def facts_of(invoices, shift):
    """Yield what orders and cancellations do, in the order of time and, within a minute, of the file."""

    def minute(number):
        return min(datetime.fromisoformat(line["invoice_date"]) for line in invoices[number])

    for number in sorted(invoices, key=minute):
        lines, at = invoices[number], minute(number) + shift
        amount = sum(Decimal(line["quantity"]) * Decimal(line["unit_price"]) for line in lines)
        who, value = lines[0]["customer_id"], int(abs(amount))
        if number.startswith("C"):
            yield Fact(at, who, "refunded", value=value)
            yield Fact(at, who, "bought-50", is_add=False)
            continue
        yield Fact(at, who, "bought", value=value)
        if amount > 50:
            yield Fact(at, who, "bought-50", value=value)
        if any("GIFT" in line["description"] for line in lines):
            yield Fact(at, who, "gift-buyers")
        if lines[0]["country"] != "United Kingdom":
            yield Fact(at, who, "abroad")


def test_the_last_order_is_todays(demo, shift):
    today = demo.began_at.date()
    last = datetime(2011, 12, 9, 12, 50, tzinfo=UTC) + shift

    assert last < demo.began_at
    assert last.date() == today or demo.began_at - last < 3 * MINUTE


def test_every_order_and_every_cancellation_is_one_fire(demo, invoices):
    fires = dict(
        demo.stored.ask(
            "SELECT p.name, count(*) FROM pixels_fire f JOIN pixels_pixel p ON p.id = f.pixel_id "
            "WHERE f.advertiser_id = %(advertiser)s GROUP BY 1"
        )
    )

    assert fires["Order"] == sum(not number.startswith("C") for number in invoices) == 5834
    assert fires["Refund"] == sum(number.startswith("C") for number in invoices)
    assert demo.stored.outcomes() == {("applied", ""): sum(fires.values())}


def test_bought_holds_the_customers_whose_last_order_is_at_most_thirty_days_old(demo, invoices, shift):
    now = timezone.now()
    customers = {
        line["customer_id"]
        for number, lines in invoices.items()
        for line in lines
        if not number.startswith("C") and datetime.fromisoformat(line["invoice_date"]) + shift > now - 30 * DAY
    }
    members = demo.stored.members(now)

    assert sum(count for what, count in members.items() if any(one[0] == "bought" for one in what)) == len(customers)


def test_members_values_joins_and_leaves_are_those_worked_out_by_hand(demo, invoices, shift):
    story, now = Story.of(RULES, facts_of(invoices, shift)), timezone.now()

    assert demo.stored.members(now) == story.members(now)
    until(lambda: demo.stored.steps(now) == story.steps(now), "the transitions are those worked out by hand")
    moved = by_day(story.steps(now), retail.TIME_ZONE)
    assert len({day for _, day in moved}) > 60


def test_the_rules_find_the_customers_who_ordered_often_and_much(demo, invoices, shift):
    now, orders = timezone.now(), defaultdict(list)
    for number, lines in invoices.items():
        at = min(datetime.fromisoformat(line["invoice_date"]) for line in lines) + shift
        if not number.startswith("C"):
            total = sum(Decimal(line["quantity"]) * Decimal(line["unit_price"]) for line in lines)
            orders[lines[0]["customer_id"]].append((at, int(total)))
    recent = [[total for at, total in some if at > now - 30 * DAY] for some in orders.values()]

    assert demo.stored.sizes_by_rules(now) == {
        "often": sum(len(totals) >= 2 for totals in recent),
        "spent-100": sum(sum(totals) > 100 for totals in recent),
        "lapsed": sum(not totals for totals in recent),
    }


def test_every_customer_is_one_profile(demo, invoices):
    customers = {lines[0]["customer_id"] for lines in invoices.values()}
    ((profiles,),) = demo.stored.ask("SELECT count(*) FROM audience_profile WHERE advertiser_id = %(advertiser)s")

    assert profiles == len(customers) == 2740


def test_the_shop_lives_by_its_own_clock_and_currency(demo):
    (found,) = demo.stored.ask("SELECT time_zone, currency FROM audience_advertiser WHERE id = %(advertiser)s")
    assert found == ("Europe/London", "GBP")


def test_the_buyers_are_in_the_delivered_file(demo):
    (rows, path), *_ = demo.files()
    with gzip.open(path, "rt", newline="") as file:
        lines = list(csv.DictReader(file))

    assert len(lines) == rows
    assert {line["segment_code"] for line in lines} == {"bought", "bought-50", "gift-buyers"}
