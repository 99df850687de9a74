"""Calendars: days and longer periods by a clock, as SQL (rules.md 2.1).

A zone is a text in SQL: a visitor's is known only when the statement runs.
"""

from typing import Literal, NamedTuple

from segments.rules.compiling.sql import Sql, sql
from segments.rules.windows import Period

_UNITS: dict[Period, str] = {
    "day": "1 day",
    "week": "7 days",
    "month": "1 month",
    "quarter": "3 months",
    "year": "1 year",
}


class Clock(NamedTuple):
    zone: Sql
    week_starts_on: Literal["mon", "sun"]

    def day(self, at: Sql | str) -> Sql:
        """Return the local day of an instant."""
        return sql("segments_local_day({at}, {zone})", at=at, zone=self.zone)

    def start(self, day: Sql | str) -> Sql:
        """Return the instant at which a local day begins."""
        return sql("segments_day_start({day}, {zone})", day=day, zone=self.zone)

    def start_after(self, day: Sql | str, days: int) -> Sql:
        """Return the instant at which the local day so many days after a day begins; before it, where negative."""
        return self.start(sql("({day} + {days})", day=day, days=Sql("%s::int", (days,))))

    def period_start(self, day: Sql | str, period: Period, shift: int = 0) -> Sql:
        """Return the instant at which the period of a local day begins, or one so many periods after that."""
        # Weeks are PostgreSQL's, from Monday on; one from Sunday on is that of the next day, a day earlier.
        is_from_sunday = period == "week" and self.week_starts_on == "sun"
        first = "date_trunc('week', ({day} + 1)::timestamp) - interval '1 day'" if is_from_sunday else "{trunc}"
        start = sql(
            f"(({first}) + {{shift}} * interval '{_UNITS[period]}')::date",
            day=day,
            trunc=sql(f"date_trunc('{period}', {{day}}::timestamp)", day=day),
            shift=Sql("%s::int", (shift,)),
        )
        return self.start(start)
