"""A shop that never was: visitors, visits, sources, carts, orders and refunds over some weeks up to now.

Seeded: the same seed and size give the same fires on the same day, and a few more as the day goes on.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Literal
from zoneinfo import ZoneInfo

from config.demo import tags
from config.demo.plan import CHROME, PlannedFire, in_order

NAME = "Demo shop"
DAYS = 60
TIME_ZONE = "Europe/Berlin"
CURRENCY = "EUR"
HOST = "www.shop.example"

# Monday to Sunday, and the hours of a day: how busy they are, compared with each other.
WEEKDAYS = (1.0, 0.95, 0.95, 1.0, 0.9, 1.1, 1.35)
HOURS = (6, 3, 2, 1, 1, 2, 5, 10, 14, 17, 20, 21, 24, 22, 20, 19, 20, 23, 28, 34, 40, 38, 26, 13)
NEWSLETTER_WEEKDAY = 3  # Thursday, at ten in the morning and the hours after it
NEWSLETTER_HOURS = (0,) * 10 + (40, 25, 16, 10, 8, 6, 5, 5, 6, 6, 5, 4, 2, 1)
GROWTH = 0.6  # the last day's visits over the first day's, less one: the season begins

Source = Literal["search", "direct", "adverts", "social", "newsletter"]
SOURCES: dict[Source, float] = {"search": 38, "direct": 22, "adverts": 16, "social": 10, "newsletter": 14}
# How likely a visit from there fills a cart.
CART_CHANCE: dict[Source, float] = {
    "search": 0.14,
    "direct": 0.24,
    "adverts": 0.08,
    "social": 0.05,
    "newsletter": 0.30,
}
ORDER_CHANCE, GIFT_CHANCE, REFUND_CHANCE = 0.45, 0.3, 0.09
RETURN_CHANCE, RETURN_CHANCE_OF_BUYER = 0.45, 0.65
# One cart in so many is filled by a template that has lost its number.
BROKEN_CART_CHANCE, BROKEN_VALUE = 0.006, "[TOTAL]"
CRAWLERS_A_DAY = 4

AGENTS = {
    CHROME: 34,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1": 27,
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile "
    "Safari/537.36": 22,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Safari/605.1.15": 9,
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": 8,
}
CRAWLER = "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://crawler.example/bot)"
PAGES = ("/", "/new", "/sale", "/mugs", "/lamps", "/candles", "/toys", "/garden", "/kitchen", "/christmas")
FIRST_PAGES: dict[Source, str] = {
    "search": "/lamps",
    "direct": "/",
    "adverts": "/sale",
    "social": "/new",
    "newsletter": "/letter",
}


@dataclass(frozen=True)
class Calendar:
    """When people come: days and hours of the shop's clock, up to an instant."""

    until: datetime
    zone: ZoneInfo
    days: int

    @property
    def first_day(self) -> date:
        return self.until.astimezone(self.zone).date() - timedelta(days=self.days - 1)

    def moment(self, rng: random.Random, day: date, hours: Sequence[float]) -> datetime:
        """Return an instant of a local day, in its hours as they are busy."""
        hour = rng.choices(range(24), hours)[0]
        wall = datetime.combine(day, time(hour, rng.randrange(60), rng.randrange(60), rng.randrange(1_000_000)))
        return wall.replace(tzinfo=self.zone).astimezone(self.until.tzinfo)

    def first_visit(self, rng: random.Random, source: Source) -> datetime:
        """Return when somebody comes for the first time."""
        days = range(self.days)
        if source == "newsletter":
            letters = [day for day in days if self._weekday(day) == NEWSLETTER_WEEKDAY] or list(days)
            return self.moment(rng, self._date(rng.choice(letters)), NEWSLETTER_HOURS)
        weights = [WEEKDAYS[self._weekday(day)] * (1 + GROWTH * day / self.days) for day in days]
        day = rng.choices(days, cum_weights=list(accumulate(weights)))[0]
        return self.moment(rng, self._date(day), HOURS)

    def next_visit(self, rng: random.Random, after: datetime) -> datetime:
        """Return when somebody comes again: after six days in the middle, at an hour as they are busy."""
        day = after.astimezone(self.zone).date() + timedelta(days=1 + int(rng.expovariate(1 / 5)))
        return self.moment(rng, day, HOURS)

    def _date(self, day: int) -> date:
        return self.first_day + timedelta(days=day)

    def _weekday(self, day: int) -> int:
        return self._date(day).weekday()


def plan_fires(*, seed: int, visitors: int, until: datetime, days: int = DAYS) -> list[PlannedFire]:
    """Return the fires of so many visitors in the order of time, none later than `until`."""
    calendar = Calendar(until, ZoneInfo(TIME_ZONE), days)
    fires = [fire for visitor in range(visitors) for fire in _visitor(_dice(seed, visitor), calendar, visitor)]
    fires += _crawlers(_dice(seed, visitors), calendar, visitors)
    # The millisecond between two tags of a page must not reach beyond the end.
    latest = until - timedelta(seconds=1)
    return in_order(fire for fire in fires if fire.at <= latest)


def _dice(seed: int, visitor: int) -> random.Random:
    """Return the dice of one visitor, whatever the others do."""
    return random.Random(f"{seed}/{visitor}")  # noqa: S311 -- a demo, not a secret


def _visitor(rng: random.Random, calendar: Calendar, visitor: int) -> Iterator[PlannedFire]:
    """Yield all that one visitor does, until he stays away or the story ends."""
    agent = rng.choices(list(AGENTS), list(AGENTS.values()))[0]
    source = rng.choices(list(SOURCES), list(SOURCES.values()))[0]
    at = calendar.first_visit(rng, source)
    has_bought = False
    while at < calendar.until:
        visit = Visit(rng, visitor, agent, source, at)
        yield from visit.fires()
        has_bought |= visit.has_bought
        if rng.random() > (RETURN_CHANCE_OF_BUYER if has_bought else RETURN_CHANCE):
            return
        at = calendar.next_visit(rng, visit.now)
        # Who knows the shop comes by the letter or by itself.
        source = rng.choices(("direct", "newsletter", "search"), (6, 2, 2))[0]


class Visit:
    """One visit, page after page."""

    def __init__(self, rng: random.Random, visitor: int, agent: str, source: Source, at: datetime) -> None:
        self._rng = rng
        self._visitor = visitor
        self._agent = agent
        self._source: Source = source
        self.now = at
        self.has_bought = False

    def fires(self) -> Iterator[PlannedFire]:
        rng = self._rng
        yield from self._arrive()
        while rng.random() < 0.55:
            self._pass(10, 120)
            yield self._fire(tags.EVERY_PAGE, path=rng.choice(PAGES))
        if rng.random() < CART_CHANCE[self._source]:
            yield from self._shop()

    def _arrive(self) -> Iterator[PlannedFire]:
        path = FIRST_PAGES[self._source]
        yield self._fire(tags.EVERY_PAGE, path=path)
        if self._source == "newsletter":
            yield self._fire(tags.NEWSLETTER_LANDING, path=path)
        elif self._source == "adverts":
            yield self._fire(tags.ADVERT_LANDING, path=path)

    def _shop(self) -> Iterator[PlannedFire]:
        rng, total, is_gift = self._rng, 0.0, self._rng.random() < GIFT_CHANCE
        for _ in range(rng.choices((1, 2, 3, 4), (50, 28, 15, 7))[0]):
            self._pass(15, 180)
            total += round(rng.lognormvariate(3.1, 0.7), 2)
            is_broken = rng.random() < BROKEN_CART_CHANCE
            yield self._fire(tags.CART, BROKEN_VALUE if is_broken else str(int(total)), "/cart")
        if rng.random() < ORDER_CHANCE:
            self._pass(40, 300)
            yield from self._order(total, is_gift)

    def _order(self, total: float, is_gift: bool) -> Iterator[PlannedFire]:
        rng, value = self._rng, str(int(total))
        self.has_bought = True
        yield self._fire(tags.ORDER, value, "/checkout/done")
        if total > 50:
            yield self._fire(tags.ORDER_OVER_50, value, "/checkout/done")
        if is_gift:
            yield self._fire(tags.GIFT_ORDER, path="/checkout/done")
        if rng.random() < REFUND_CHANCE:
            given_back = self.now + timedelta(days=rng.randint(2, 12), hours=rng.randint(-4, 4))
            part = total if rng.random() < 0.6 else total * rng.random()
            yield self._fire(tags.REFUND, str(int(part)), "/account/returns")._replace(at=given_back)

    def _pass(self, shortest: int, longest: int) -> None:
        """Let so many seconds pass."""
        self.now += timedelta(seconds=self._rng.uniform(shortest, longest))

    def _fire(self, pixel: str, value: str = "", path: str = "/") -> PlannedFire:
        return PlannedFire(self.now, self._visitor, pixel, value, path, self._agent)


def _crawlers(rng: random.Random, calendar: Calendar, first: int) -> Iterator[PlannedFire]:
    """Yield what a search engine's crawler loads: fires that are refused."""
    for number in range(calendar.days * CRAWLERS_A_DAY):
        day = calendar.first_day + timedelta(days=number // CRAWLERS_A_DAY)
        at = calendar.moment(rng, day, (1,) * 24)
        yield PlannedFire(at, first + number, tags.EVERY_PAGE, path=rng.choice(PAGES), agent=CRAWLER)
