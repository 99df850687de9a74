"""The report of segment loads: its numbers beside a recount of the facts, its page, its file and its API."""

import csv
import io
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import Client

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from config.menu import MENU
from exports import formats
from segments import reports
from segments.counts import merge_deltas, size
from segments.members import Ask, change_members
from segments.models import Segment, SegmentDelta
from segments.sweeper import sweep
from tests.admins import at_work, form_of
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_segment

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
PAGE = "/admin/segments/segment/loads/"
PATH = "/reports/segment-loads"
DAY = timedelta(days=1)
# Winter time began on Sunday 25 October 2026, a day of 25 hours.
NOW = datetime(2026, 11, 3, 12, tzinfo=BERLIN)
PERIOD = reports.Period(date(2026, 9, 20), date(2026, 11, 3))


@dataclass(frozen=True)
class Fact:
    at: datetime
    segment: Segment
    person: str
    is_add: bool
    lifetime: timedelta


@dataclass
class Recount:
    """What happened to one segment, told from the facts alone, by days of Berlin."""

    loads: Counter[date] = field(default_factory=Counter)
    people: dict[date, set[str]] = field(default_factory=lambda: defaultdict(set))
    joins: Counter[date] = field(default_factory=Counter)
    leaves: Counter[date] = field(default_factory=Counter)
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)

    def active(self, at: datetime) -> int:
        return sum(start <= at < end for start, end in self.spans)


def recount(facts: list[Fact], segment: Segment, now: datetime) -> Recount:
    """Follow each person by himself: when in, until when, and what that makes of the days."""
    told = Recount()
    by_person: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.segment == segment:
            by_person[fact.person].append(fact)
    for person, own in by_person.items():
        start = end = None
        for fact in own:
            if fact.is_add:
                day = fact.at.astimezone(BERLIN).date()
                told.loads[day] += 1
                told.people[day].add(person)
            if start is not None and end <= fact.at:
                told.spans.append((start, end))
                start = None
            if fact.is_add:
                start, end = start or fact.at, fact.at + fact.lifetime
            elif start is not None:
                told.spans.append((start, fact.at))
                start = None
        if start is not None:
            told.spans.append((start, end))
    for start, end in told.spans:
        told.joins[start.astimezone(BERLIN).date()] += 1
        if end <= now:
            told.leaves[end.astimezone(BERLIN).date()] += 1
    return told


def make_facts(segments: list[Segment]) -> list[Fact]:
    """Make six weeks of facts, many of them around midnight and around the hour that came twice."""
    chance = random.Random(7)
    begin = datetime(2026, 9, 25, tzinfo=BERLIN)
    midnights = [begin.replace(tzinfo=None) + number * DAY for number in range(40)]
    instants = [begin.astimezone(UTC) + chance.random() * 39.4 * DAY for _ in range(150)]
    for midnight in midnights:
        instants.append(midnight.replace(tzinfo=BERLIN).astimezone(UTC) + chance.choice((-1, 0, 1)) * DAY / 86_400)
    twice = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    instants += [twice + number * timedelta(minutes=20) for number in range(-6, 72)]
    instants = sorted({at for at in instants if at <= NOW})
    return [
        Fact(
            at,
            chance.choice(segments),
            f"C-{chance.randrange(12)}",
            chance.random() < 0.8,
            chance.choice((timedelta(hours=2), DAY, 9 * DAY)),
        )
        for at in instants
    ]


def play(facts: list[Fact]) -> None:
    for fact in facts:
        with acting_for(fact.segment.advertiser_id):
            do = "add" if fact.is_add else "remove"
            change_members(fact.segment, [Ask(do, "customer_id", fact.person, lifetime=fact.lifetime)], at=fact.at)


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser(time_zone="Europe/Berlin", name="Shop")


@pytest.fixture
def segments(advertiser: Advertiser) -> list[Segment]:
    return [make_segment(advertiser, code, longest_lifetime_minutes=150_000) for code in ("bought", "cart")]


def counted(segment: Segment, day: date, **numbers: int) -> None:
    with acting_for(segment.advertiser_id):
        SegmentDelta.objects.create(segment=segment, day=day, **numbers)


def report_of(advertiser: Advertiser, segments: list[Segment], period: reports.Period = PERIOD) -> reports.Report:
    return reports.segment_loads(advertiser, segments, period, NOW)


@pytest.mark.django_db(transaction=True)
class TestNumbers:
    @pytest.fixture
    def facts(self, segments: list[Segment]) -> list[Fact]:
        """Facts that were played, with sweeps; half of them are merged into days, half are deltas still."""
        facts = make_facts(segments)
        half = len(facts) // 2
        play(facts[:half])
        sweep(facts[half].at)
        merge_deltas()
        play(facts[half:])
        sweep(NOW)
        assert SegmentDelta.all_advertisers.exists()
        return facts

    @pytest.mark.spec("test_load_report_equals_recount")
    def test_load_report_equals_recount(
        self, advertiser: Advertiser, segments: list[Segment], facts: list[Fact]
    ) -> None:
        rows = report_of(advertiser, segments).rows
        assert [(row.day, row.segment) for row in rows] == [(day, one) for day in PERIOD for one in segments]
        told = {segment: recount(facts, segment, NOW) for segment in segments}
        for day, segment, *numbers in rows:
            midnight = (datetime.combine(day, datetime.min.time()) + DAY).replace(tzinfo=BERLIN)
            one = told[segment]
            wanted = [one.loads[day], len(one.people[day]), one.joins[day], one.leaves[day]]
            assert numbers == [*wanted, one.active(min(midnight - timedelta(microseconds=1), NOW))], (day, segment)
        assert sum(row.leaves for row in rows) > 20
        assert [rows[-2].active, rows[-1].active] == [size(segment, NOW) for segment in segments]

    @pytest.mark.spec("test_joins_minus_leaves")
    def test_joins_minus_leaves(self, advertiser: Advertiser, segments: list[Segment], facts: list[Fact]) -> None:
        before = dict.fromkeys(segments, 0)
        for row in report_of(advertiser, segments).rows:
            assert row.joins - row.leaves == row.active - before[row.segment]
            before[row.segment] = row.active
        assert any(before.values())

    @pytest.mark.spec("test_uniques_across_midnight_and_dst")
    def test_uniques_across_midnight_and_dst(self, advertiser: Advertiser, segments: list[Segment]) -> None:
        """One second before midnight is another day; the day of 25 hours is one day, its hour twice in it."""
        cart = segments[1]
        instants = [
            datetime(2026, 10, 24, 21, 59, 59, tzinfo=UTC),  # the 24th in Berlin
            datetime(2026, 10, 24, 22, 0, tzinfo=UTC),  # the 25th, still summer time
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # half past two
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # half past two again
            datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC),  # one second before the next midnight, winter time
            datetime(2026, 10, 25, 23, 0, tzinfo=UTC),  # the 26th
        ]
        play([Fact(at, cart, "C-1", True, 100 * DAY) for at in instants])
        rows = report_of(advertiser, [cart], reports.Period(date(2026, 10, 24), date(2026, 10, 26))).rows
        assert [row[2:] for row in rows] == [(1, 1, 1, 0, 1), (4, 1, 0, 0, 1), (1, 1, 0, 0, 1)]

    def test_months_are_those_that_lie_in_the_period(
        self, advertiser: Advertiser, segments: list[Segment], facts: list[Fact]
    ) -> None:
        months = report_of(advertiser, segments).months
        assert [(one.month, one.segment, one.is_over) for one in months] == [
            (month, segment, is_over)
            for month, is_over in ((date(2026, 10, 1), True), (date(2026, 11, 1), False))
            for segment in segments
        ]
        for one in months:
            told = recount(facts, one.segment, NOW).people
            in_month = [people for day, people in told.items() if day.month == one.month.month]
            length = 31 if one.is_over else 3
            assert one.monthly_uniques == len(set().union(*in_month))
            assert one.average_daily_uniques == round(sum(map(len, in_month)) / length, 1)

    @pytest.mark.parametrize(
        ("first", "last", "months"),
        [
            ("2026-10-01", "2026-10-31", [10]),
            ("2026-10-02", "2026-10-31", []),
            ("2026-10-01", "2026-10-30", []),
            ("2026-09-30", "2026-11-02", [10]),
            ("2026-09-01", "2026-11-03", [9, 10, 11]),
            ("2025-12-01", "2026-01-31", [12, 1]),
            ("2024-02-01", "2024-02-29", [2]),
        ],
    )
    def test_whole_months(
        self, advertiser: Advertiser, segments: list[Segment], first: str, last: str, months: list[int]
    ) -> None:
        period = reports.own_period(first, last, NOW.date())
        assert [one.month.month for one in report_of(advertiser, segments[:1], period).months] == months

    def test_a_report_costs_one_statement(
        self, advertiser: Advertiser, segments: list[Segment], django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1) as queries:
            report_of(advertiser, segments)
        assert "segments_transition" not in queries[0]["sql"]

    def test_too_many_rows_are_refused(
        self, advertiser: Advertiser, segments: list[Segment], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reports, "MOST_ROWS", 2 * len(PERIOD))
        assert len(report_of(advertiser, segments).rows) == 2 * len(PERIOD)
        monkeypatch.setattr(reports, "MOST_ROWS", 2 * len(PERIOD) - 1)
        with pytest.raises(reports.NoReport) as refused:
            report_of(advertiser, segments)
        assert refused.value.code == "too_many_rows"


BAD_DATES = [
    ("2026-11-02", "2026-11-01", "first day is after the last"),
    ("2026-11-01", "2026-11-04", "future"),
    ("2025-11-02", "2026-11-03", "367 days"),
    ("0001-01-01", "2026-11-03", "366"),
    ("2026-11-31", "2026-11-03", "for example"),
    ("20261101", "2026-11-03", "for example"),
    ("2026-W44-1", "2026-11-03", "for example"),
    ("٢٠٢٦-١١-٠١", "2026-11-03", "for example"),
    ("yesterday", "2026-11-03", "for example"),
    ("2026-11-01\x00", "2026-11-03", "for example"),
    ("2026-11-01", "", "both days"),
    ("", "2026-11-03", "both days"),
]


def test_the_longest_period_is_taken() -> None:
    assert len(reports.own_period("2025-11-03", "2026-11-03", NOW.date())) == 366
    assert len(reports.own_period("2026-11-03", "2026-11-03", NOW.date())) == 1


@pytest.fixture
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.mark.usefixtures("at_noon")
class TestApi:
    @pytest.fixture
    def caller(self, advertiser: Advertiser) -> Caller:
        return make_caller(advertiser, Role.VIEWER, people=False)

    def test_rows_by_day(self, caller: Caller, segments: list[Segment]) -> None:
        play([Fact(NOW - DAY, segments[1], person, True, 9 * DAY) for person in ("C-1", "C-2", "C-1")])
        query = {"segment": "CART", "from": "2026-11-01", "to": "2026-11-03", "by": "day"}
        answer = caller.get(PATH, **query)
        assert answer.status_code == 200
        empty = {"segment": "cart", "total_loads": 0, "daily_uniques": 0, "joins": 0, "leaves": 0}
        assert answer.json() == {
            "time_zone": "Europe/Berlin",
            "as_of": "2026-11-03T11:00:00Z",
            "rows": [
                {"day": "2026-11-01", **empty, "active": 0},
                {"day": "2026-11-02", **empty, "total_loads": 3, "daily_uniques": 2, "joins": 2, "active": 2},
                {"day": "2026-11-03", **empty, "active": 2},
            ],
            "months": [
                {
                    "month": "2026-11",
                    "segment": "cart",
                    "monthly_uniques": 2,
                    "average_daily_uniques": 0.7,
                    "is_over": False,
                }
            ],
        }
        assert caller.get(PATH, **query | {"segment": segments[1].pk}).json() == answer.json()

    def test_without_days_it_is_the_last_seven_of_all_segments(self, caller: Caller, segments: list[Segment]) -> None:
        rows = caller.get(PATH).json()["rows"]
        days = [(NOW.date() - number * DAY).isoformat() for number in range(6, -1, -1)]
        assert [(row["day"], row["segment"]) for row in rows] == [(day, one.code) for day in days for one in segments]

    def test_a_code_goes_before_a_number(self, caller: Caller, segments: list[Segment]) -> None:
        make_segment(caller.row.advertiser, str(segments[0].pk))
        rows = caller.get(PATH, segment=segments[0].pk).json()["rows"]
        assert {row["segment"] for row in rows} == {str(segments[0].pk)}

    @pytest.mark.parametrize(("first", "last", "words"), BAD_DATES)
    def test_bad_dates(self, caller: Caller, segments: list[Segment], first: str, last: str, words: str) -> None:
        answer = caller.get(PATH, **{"from": first, "to": last})
        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_dates"
        assert words in answer.json()["message"]

    @pytest.mark.parametrize("query", [{"by": "hour"}, {"split": "domain"}, {"format": "xml"}, {"period": "week"}])
    def test_what_is_not_offered_is_refused(
        self, caller: Caller, segments: list[Segment], query: dict[str, str]
    ) -> None:
        answer = caller.get(PATH, **query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")

    @pytest.mark.spec("T15")
    def test_a_foreign_segment_is_one_that_never_was(self, caller: Caller, segments: list[Segment]) -> None:
        theirs = make_segment(make_advertiser(), "secret")
        with acting_for(segments[0].advertiser_id):
            Segment.objects.filter(pk=segments[0].pk).update(deleted_at=NOW)
        never = caller.get(PATH, segment="never")
        assert never.status_code == 404
        asked = (theirs.code, theirs.pk, segments[0].code, segments[0].pk, "", "a\x00b", "9" * 19, "٣")
        for word in asked:
            answer = caller.get(PATH, segment=word)
            assert (answer.status_code, answer.content) == (404, never.content), word
        assert {row["segment"] for row in caller.get(PATH).json()["rows"]} == {"cart"}

    def test_a_file(self, caller: Caller, advertiser: Advertiser) -> None:
        signed = make_segment(advertiser, "-1", name='=HYPERLINK("http://x.example")')
        counted(signed, NOW.date(), loads=3, daily_uniques=2, joins=2, leaves=1)
        answer = caller.get(PATH, format="csv", **{"from": "2026-11-03", "to": "2026-11-03"})
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert answer["Content-Disposition"] == 'attachment; filename="segment-loads_2026-11-03_2026-11-03.csv"'
        assert list(csv.reader(io.StringIO(answer.content.decode()))) == [
            ["day", "segment", "name", "total_loads", "daily_uniques", "joins", "leaves", "active"],
            ["2026-11-03", "'-1", '\'=HYPERLINK("http://x.example")', "3", "2", "2", "1", "1"],
        ]

    def test_formula_signs_are_those_of_exports(self) -> None:
        assert reports._FORMULA_SIGNS == formats.FORMULA_SIGNS


@pytest.mark.usefixtures("at_noon")
class TestPage:
    @pytest.fixture
    def client(self, advertiser: Advertiser) -> Client:
        return at_work(advertiser, Role.VIEWER, people=False)

    def test_the_menu_leads_to_it(self, client: Client, advertiser: Advertiser) -> None:
        assert [group.title for group in MENU][:4] == ["", "Exports", "Reports", "Settings"]
        groups = at_work(advertiser, Role.VIEWER).get("/admin/").context["sidebar_navigation"]
        (entry,) = next(group["items"] for group in groups if group["title"] == "Reports")
        assert (entry["title"], entry["link"]) == ("Segment loads", PAGE)
        here = client.get(PAGE).context["sidebar_navigation"]
        assert [item["title"] for group in here for item in group["items"] if item["active"]] == ["Segment loads"]
        there = client.get("/admin/segments/segment/").context["sidebar_navigation"]
        assert [item["title"] for group in there for item in group["items"] if item["active"]] == ["Segments"]

    def test_it_begins_with_the_last_seven_days_of_all_segments(
        self, client: Client, segments: list[Segment]
    ) -> None:
        answer = client.get(PAGE)
        assert answer.status_code == 200
        report = answer.context["report"]
        assert report.period == reports.Period(NOW.date() - 6 * DAY, NOW.date())
        assert len(report.rows) == 14
        form = form_of(answer.content.decode(), "from")
        assert (form["from"], form["to"]) == (["2026-10-28"], ["2026-11-03"])

    @pytest.mark.parametrize(
        ("name", "first", "last"),
        [
            ("today", "2026-11-03", "2026-11-03"),
            ("yesterday", "2026-11-02", "2026-11-02"),
            ("week", "2026-10-28", "2026-11-03"),
            ("month", "2026-11-01", "2026-11-03"),
        ],
    )
    def test_named_periods(self, client: Client, segments: list[Segment], name: str, first: str, last: str) -> None:
        period = client.get(PAGE, {"period": name}).context["report"].period
        assert (period.first.isoformat(), period.last.isoformat()) == (first, last)

    def test_one_segment_and_its_file(self, client: Client, segments: list[Segment]) -> None:
        bought, cart = segments
        counted(cart, date(2026, 11, 1), loads=1234, daily_uniques=100, joins=90, leaves=20)
        counted(bought, date(2026, 11, 1), loads=77777)
        query = {"segment": cart.pk, "from": "2026-11-01", "to": "2026-11-02"}
        answer = client.get(PAGE, query)
        text = answer.content.decode()
        assert "1,234" in text
        assert "77,777" not in text
        file = client.get(PAGE + answer.context["csv_link"])
        assert list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))[1:] == [
            ["2026-11-01", "cart", "Cart", "1234", "100", "90", "20", "70"],
            ["2026-11-02", "cart", "Cart", "0", "0", "0", "0", "70"],
        ]

    @pytest.mark.parametrize(("first", "last", "words"), BAD_DATES)
    def test_bad_dates_are_told(
        self, client: Client, segments: list[Segment], first: str, last: str, words: str
    ) -> None:
        answer = client.get(PAGE, {"from": first, "to": last})
        assert answer.status_code == 400
        assert words in answer.context["error"]
        assert form_of(answer.content.decode(), "from")["to"] == [last]

    @pytest.mark.spec("T16")
    def test_a_foreign_segment_is_one_that_never_was(self, client: Client, segments: list[Segment]) -> None:
        theirs = make_segment(make_advertiser(), "secret")
        for number in (theirs.pk, 999_999_999, "x", "1e3", "9" * 30, "a\x00"):
            for more in ({}, {"as": "csv"}):
                assert client.get(PAGE, {"segment": number, **more}).status_code == 404
        assert "Secret" not in client.get(PAGE).content.decode()

    def test_long_tables_come_in_pages(
        self, client: Client, advertiser: Advertiser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("segments.admin.reports.ROWS_A_PAGE", 7)
        for number in range(3):
            make_segment(advertiser, f"s{number}")
        answer = client.get(PAGE)
        first = list(answer.context["table"])
        assert [row.day for row in first] == [NOW.date()] * 3 + [NOW.date() - DAY] * 3 + [NOW.date() - 2 * DAY]
        last = client.get(PAGE, {"p": "3"}).context["table"]
        assert (len(last), list(last)[-1].day) == (7, NOW.date() - 6 * DAY)

    def test_without_segments_it_says_what_to_do(self, client: Client) -> None:
        for period in ("today", "month"):
            answer = client.get(PAGE, {"period": period})
            assert answer.status_code == 200
            assert "There is no segment yet" in answer.content.decode()
