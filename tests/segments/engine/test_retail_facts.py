"""Real purchases: four rules find exactly the customers that the data's own README says, to the edges of their days.

The last rows come, and the compiled SQL is asked about everybody. The first rule is a segment's besides: it is built
before half of the rows have come, and facts and time alone keep it true.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connection

from audience.models import Event, Profile
from audience.tenancy import acting_for
from segments import rulebook
from segments.building import build
from segments.membership import holds
from segments.models import Membership, Segment
from segments.preview import count_in_chunks
from segments.surroundings import surroundings_of
from segments.versions import save_rule
from tests.emptying import empty_tables
from tests.factories import make_advertiser, make_segment
from tests.segments.asked import rule_of, text_of
from tests.segments.engine.retail import ORDER, PURCHASED, REFUND, Retailer, read_messages

pytestmark = pytest.mark.django_db

LIVE = datetime.fromisoformat("2011-11-01T00:00:00Z")  # when the segment is built

Last = Callable[[int], dict[str, Any]]  # so many days as a window


def last(days: int) -> dict[str, Any]:
    return {"within": f"{days}d"}


# All times are whole minutes: a minute more or less moves one edge over exactly what lies on it.


def with_the_oldest(days: int) -> dict[str, Any]:
    return {"within": f"{days * 1440 + 1}min"}


def without_the_newest(days: int) -> dict[str, Any]:
    return {"between_ago": ["1min", f"{days}d"]}


def three_invoices(last: Last) -> Any:
    return {"event": PURCHASED, "window": last(30), "distinct": {"of": "invoice_no", "at_least": 3}}


def three_orders(last: Last) -> Any:
    return {"event": ORDER, "window": last(30), "count": {"at_least": 3}}


def a_thousand_pounds(last: Last) -> Any:
    return {"event": PURCHASED, "window": last(30), "sum": {"of": "amount", "at_least": 1000}}


def lapsed(last: Last) -> Any:
    return {"all_of": [{"event": PURCHASED}, {"event": PURCHASED, "window": last(60), "count": {"none": True}}]}


def one_product_without_refund(last: Last) -> Any:
    product = [{"property": "stock_code", "equals": "22086"}]
    bought = {"event": PURCHASED, "where": product, "window": last(14)}
    return {"all_of": [bought, {"not": {"event": REFUND, "window": last(30)}}]}


class Line(NamedTuple):
    """A line of the README: how many customers there are at an instant, and whom the rule finds among them.

    The last two are how many it would find if what is exactly as old as its window counted, and if what happens at
    the very instant did not.
    """

    rule: Callable[[Last], Any]
    at: datetime
    profiles: int
    members: int
    checksum: str
    first_three: list[str]
    with_the_oldest: int
    without_the_newest: int


def known(
    rule: Callable[[Last], Any], at: str, profiles: int, members: int, checksum: str, first: str, *edges: int
) -> Line:
    return Line(rule, datetime.fromisoformat(at), profiles, members, checksum, first.split(", "), *edges)


OFTEN = (
    *("2011-12-09T12:50:00Z", 2740, 232, "c24e11af1ed9e6aa2ae4abdc23fd70b531d2f4966826c3f15d710d6f79d3d1e5"),
    *("12433, 12437, 12471", 232, 232),
)
LINES = [
    known(three_invoices, *OFTEN),
    known(three_orders, *OFTEN),
    known(
        a_thousand_pounds,
        *("2011-12-06T12:26:00Z", 2692, 231, "b2d81b1082f633554109dbb5e2733df513ae772c3e161810acbba211abdca9ff"),
        *("12349, 12357, 12380", 232, 230),
    ),
    known(
        lapsed,
        *("2011-11-29T11:46:00Z", 2560, 148, "3279237e8a66c355ff820986d08a80ed60fc2c9eff3806fdabe9e9b2ebf33a11"),
        *("12348, 12372, 12393", 147, 149),
    ),
    known(
        one_product_without_refund,
        *("2011-11-29T12:07:00Z", 2561, 124, "cf21e6aabb0decc824c52f2f8c3e66cc7e0c9f2ccb21bf91f2316d77bde4b00e"),
        *("12388, 12890, 12921", 125, 123),
    ),
]
each_line = pytest.mark.parametrize("line", LINES, ids=lambda line: line.rule.__name__)


class Found(NamedTuple):
    """What was found at an instant: the README's columns, the number of the exact count, and at the same time the
    members of the segment beside what its rule says."""

    profiles: int
    members: list[str]
    with_the_oldest: int
    without_the_newest: int
    counted: int
    in_segment: list[str]
    by_its_rule: list[str]


@pytest.fixture(scope="module")
def retailer(django_db_setup: None, django_db_blocker: Any, retail_file: Path) -> Iterator[Retailer]:
    """What the file brings is committed, for all tests of this module."""
    with django_db_blocker.unblock():
        rulebook.forget()
        yield Retailer(make_advertiser(time_zone="Europe/London"), list(read_messages(retail_file)))
        rulebook.forget()
        empty_tables()


@pytest.fixture(scope="module")
def found(retailer: Retailer) -> dict[str, Found]:
    """What each rule finds at its instant: the file comes as far as that, and no further."""
    retailer.receive_up_to(LIVE)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as the autovacuum would have done by now
    segment = make_segment(retailer.advertiser, code="often", kind=Segment.Kind.RULE)
    save_rule(segment, text_of(three_invoices(last)), at=LIVE)
    build(now=LIVE)
    rulebook.refresh()
    segment.refresh_from_db()
    found = {}
    for line in sorted(LINES, key=lambda line: line.at):
        retailer.receive_up_to(line.at)
        found[line.rule.__name__] = Found(
            Profile.all_advertisers.filter(advertiser=retailer.advertiser).count(),
            retailer.find(line.rule(last), line.at),
            len(retailer.find(line.rule(with_the_oldest), line.at)),
            len(retailer.find(line.rule(without_the_newest), line.at)),
            counted_by(retailer, line.rule(last), line.at),
            members_of(retailer, segment, line.at),
            retailer.find(three_invoices(last), line.at),
        )
    return found


def counted_by(retailer: Retailer, node: Any, at: datetime) -> int:
    id_ = retailer.advertiser.pk
    *_, counted = count_in_chunks(rule_of(node), surroundings_of(id_), id_, at)
    return counted.hits


def members_of(retailer: Retailer, segment: Segment, at: datetime) -> list[str]:
    customers = retailer.customers()
    with acting_for(retailer.advertiser.pk):
        members = Membership.objects.filter(holds(at), segment=segment).values_list("profile_id", flat=True)
        return sorted(customers[member] for member in members)


@each_line
def test_a_rule_finds_exactly_the_customers_that_are_known(found: dict[str, Found], line: Line) -> None:
    one = found[line.rule.__name__]

    assert one.profiles == line.profiles
    assert one.members[:3] == line.first_three
    assert len(one.members) == one.counted == line.members
    assert hashlib.sha256("\n".join(one.members).encode()).hexdigest() == line.checksum


@each_line
def test_a_window_has_its_newest_instant_and_not_its_oldest(found: dict[str, Found], line: Line) -> None:
    one = found[line.rule.__name__]

    assert (one.with_the_oldest, one.without_the_newest) == (line.with_the_oldest, line.without_the_newest)


@each_line
def test_a_segment_is_what_its_rule_says_long_after_it_was_built(found: dict[str, Found], line: Line) -> None:
    one = found[line.rule.__name__]

    assert one.in_segment == one.by_its_rule != []


def test_amounts_add_up_to_the_last_decimal(found: dict[str, Found]) -> None:
    amount = "sum((properties ->> 'amount')::numeric)::text"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name, count(*), {amount} FROM audience_event GROUP BY name ORDER BY name")
        rows = cursor.fetchall()

    assert rows == [(ORDER, 5_834, None), (PURCHASED, 142_090, "2933126.522"), (REFUND, 2_744, "-274904.03")]


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(days=30)], ids=["at once", "a month later"])
def test_rows_that_come_twice_change_nothing(found: dict[str, Found], retailer: Retailer, delay: timedelta) -> None:
    before = Event.all_advertisers.count()
    retailer.record(retailer.sent[-5_000:], delay=delay)

    assert Event.all_advertisers.count() == before
