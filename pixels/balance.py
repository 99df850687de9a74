"""The books: received = applied + duplicate + rejected(reason) + suppressed(reason) + pending, recounted from rows.

What fires came to is counted in the transactions that store them. Here those counts stand beside the rows that the
same transactions wrote, so whoever changes one without the other is found. All of it is read from one snapshot: it is
right while fires come in.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from audience.instants import moment
from pixels import records
from pixels.facts import Fact, Withdrawal
from pixels.messages.arrivals import Arrival
from pixels.messages.errors import MessageError
from pixels.models import Fire
from pixels.reasons import Outcome, Reason
from pixels.spool import DAMAGED
from segments.recount import Difference, differences_of_snapshot

PIXEL, HTTP_API = "pixel", "http api"  # where facts come from
DAYS = Fire.partitioning.keep_days + 1
STATEMENT_TIMEOUT = "15min"
MOST_DIFFERENCES = 1_000

# Facts that wait on this disk, by advertiser, source and UTC day.
Whose = tuple[int | None, str, date]
Pending = Mapping[Whose, int]

_COUNTS = """
    SELECT advertiser_id, pixel_id, hour, outcome, reason, fires FROM pixels_firehour WHERE hour >= %(since)s
    UNION ALL
    SELECT advertiser_id, pixel_id, hour, outcome, reason, fires FROM pixels_firedelta WHERE hour >= %(since)s
"""
_MESSAGES = """
    SELECT advertiser_id, hour, outcome, error, messages FROM pixels_messagehour WHERE hour >= %(since)s
    UNION ALL
    SELECT advertiser_id, hour, outcome, error, messages FROM pixels_messagedelta WHERE hour >= %(since)s
"""
_BY_DAY = f"""
    SELECT c.advertiser_id, a.name, c.source, (c.hour AT TIME ZONE 'UTC')::date, c.outcome, c.reason,
        sum(c.facts)::bigint
    FROM (
        SELECT '{PIXEL}' AS source, advertiser_id, hour, outcome, reason, fires AS facts FROM ({_COUNTS}) fires
        UNION ALL
        SELECT '{HTTP_API}', advertiser_id, hour, outcome, error, messages FROM ({_MESSAGES}) messages
    ) c LEFT JOIN audience_advertiser a ON a.id = c.advertiser_id
    GROUP BY 1, 2, 3, 4, 5, 6
"""  # noqa: S608 -- constants of ours
# Each message leaves a row of its arrival.
_UNARRIVED = f"""
    SELECT hour, m.messages, coalesce(i.arrivals, 0)
    FROM (SELECT hour, sum(messages)::bigint AS messages FROM ({_MESSAGES}) counts GROUP BY 1) m
    LEFT JOIN (
        SELECT date_trunc('hour', received_at, 'UTC') AS hour, count(*) AS arrivals FROM pixels_arrivedmessage
        WHERE received_at >= %(since)s GROUP BY 1
    ) i USING (hour)
    WHERE m.messages > coalesce(i.arrivals, 0) ORDER BY 1 LIMIT %(most)s
"""  # noqa: S608
# Fewer rows than counts are right for duplicates, and for rejected fires, because of one that the database refuses
# nothing but its count can be kept. Fires that lead to no pixel have no rows.
_RECOUNT = f"""
    WITH counted AS (
        SELECT advertiser_id, pixel_id, hour, outcome, reason, sum(fires)::bigint AS fires
        FROM ({_COUNTS}) counts WHERE pixel_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5
    ), stored AS (
        SELECT advertiser_id, pixel_id, date_trunc('hour', received_at, 'UTC') AS hour, outcome, reason,
            count(*) AS fires
        FROM pixels_fire WHERE received_at >= %(since)s GROUP BY 1, 2, 3, 4, 5
    )
    SELECT advertiser_id, pixel_id, hour, outcome, reason, coalesce(c.fires, 0), coalesce(s.fires, 0)
    FROM counted c FULL JOIN stored s USING (advertiser_id, pixel_id, hour, outcome, reason)
    WHERE c.fires IS DISTINCT FROM s.fires
        AND NOT (outcome = ANY(%(may_lack_rows)s) AND coalesce(s.fires, 0) <= coalesce(c.fires, 0))
    ORDER BY hour, advertiser_id, pixel_id, outcome, reason LIMIT %(most)s
"""  # noqa: S608
# The rows of fires have no key to their pixel: it would be looked up for every single one (see the migrations).
_STRAYS = """
    SELECT f.advertiser_id, f.pixel_id, f.fires FROM (
        SELECT advertiser_id, pixel_id, count(*) AS fires FROM pixels_fire
        WHERE received_at >= %(since)s GROUP BY 1, 2
    ) f
    LEFT JOIN pixels_pixel p ON p.id = f.pixel_id AND p.advertiser_id = f.advertiser_id
    WHERE p.id IS NULL ORDER BY 1, 2 LIMIT %(most)s
"""

_REJECTING = {PIXEL: Reason.values, HTTP_API: MessageError.values}


@dataclass
class Line:
    """What came in for one advertiser from one source on one UTC day, and how it ended."""

    advertiser_id: int | None  # None: requests that lead to no advertiser
    advertiser: str
    source: str
    day: date
    applied: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)
    pending: int = 0
    unknown: int = 0  # counted under an outcome or a reason that there is not

    @property
    def received(self) -> int:
        return self.explained + self.unknown

    @property
    def explained(self) -> int:
        ended = self.applied + self.duplicate + sum(self.rejected.values()) + sum(self.suppressed.values())
        return ended + self.pending

    def count(self, outcome: str, reason: str, facts: int) -> None:
        """Put so many facts where they belong."""
        if outcome == Outcome.APPLIED and not reason:
            self.applied += facts
        elif outcome == Outcome.DUPLICATE and not reason:
            self.duplicate += facts
        elif outcome == Outcome.REJECTED and reason in _REJECTING[self.source]:
            self.rejected[reason] = self.rejected.get(reason, 0) + facts
        elif outcome == Outcome.SUPPRESSED and reason in Reason.values:
            self.suppressed[reason] = self.suppressed.get(reason, 0) + facts
        else:
            self.unknown += facts


@dataclass(frozen=True)
class Balance:
    """The books at one instant, and where they are wrong."""

    at: datetime
    lines: list[Line]
    differences: list[Difference]


def balance(*, days: int = DAYS, pending: Pending | None = None) -> Balance:
    """Add up what came in on the last days, this one included, and compare it with the rows.

    `pending` is what waits in the spools of this disk. Rows are kept for a month, so older days are only added up.
    It reads whole tables: a job for the night, or for after a fault.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        now = timezone.now()
        lines = _lines(cursor, _midnight(now) - timedelta(days=days - 1), pending or {})
        # Of this day the partition stands: none is dropped before its last row is too old.
        kept_since = _midnight(now - timedelta(days=Fire.partitioning.keep_days))
        found = [
            *_unknown_ends(lines),
            *_recount(cursor, kept_since),
            *_strays(cursor, kept_since),
            *_unarrived(cursor, kept_since),
            *differences_of_snapshot(),
        ]
    return Balance(now, lines, found)


def pending_in(spools: Path) -> Counter[Whose]:
    """Count the facts that wait in the spools of a disk.

    Ask before `balance`: what is stored in between is then counted twice for a moment, and nothing is left out.
    """
    waiting: Counter[Whose] = Counter()
    for path in spools.glob("*/*.facts"):
        if path.parent.name == DAMAGED:  # rejected and counted
            continue
        with suppress(FileNotFoundError):  # stored meanwhile
            facts = records.read(path.read_bytes()).facts
            waiting.update(whose for fact in facts if (whose := _whose(fact)) is not None)
    return waiting


def _whose(fact: Fact) -> Whose | None:
    """Return where a fact is counted; None for a no that came without a fire."""
    if isinstance(fact, Withdrawal):
        return None if fact.fire is None else _whose(fact.fire)
    source = HTTP_API if isinstance(fact, Arrival) else PIXEL
    return fact.advertiser_id, source, moment(fact.received_at).astimezone(UTC).date()


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _lines(cursor: CursorWrapper, since: datetime, pending: Pending) -> list[Line]:
    cursor.execute(_BY_DAY, {"since": since})
    lines: dict[Whose, Line] = {}
    for advertiser_id, name, source, day, outcome, reason, facts in cursor.fetchall():
        line = lines.setdefault((advertiser_id, source, day), Line(advertiser_id, name or "", source, day))
        line.count(outcome, reason, facts)
    for (advertiser_id, source, day), facts in pending.items():
        lines.setdefault((advertiser_id, source, day), Line(advertiser_id, "", source, day)).pending += facts
    return sorted(
        lines.values(),
        key=lambda line: (line.day, line.advertiser_id is not None, line.advertiser_id or 0, line.source),
    )


def _unknown_ends(lines: list[Line]) -> Iterator[Difference]:
    for line in lines:
        if line.unknown:
            facts = "fires" if line.source == PIXEL else "messages"
            what = f"{facts} {_of(line.advertiser_id)} on {line.day} with an outcome and a reason that there are"
            yield Difference(what, line.received, line.explained)


def _recount(cursor: CursorWrapper, since: datetime) -> Iterator[Difference]:
    may_lack_rows = [Outcome.DUPLICATE.value, Outcome.REJECTED.value]
    cursor.execute(_RECOUNT, {"since": since, "may_lack_rows": may_lack_rows, "most": MOST_DIFFERENCES})
    for advertiser_id, pixel_id, hour, outcome, reason, counted, stored in cursor.fetchall():
        ended = f"{outcome} ({reason})" if reason else outcome
        what = f"fires of pixel {pixel_id} {_of(advertiser_id)}, {hour:%Y-%m-%d %H:00} UTC, {ended}"
        yield Difference(what, counted, stored)


def _strays(cursor: CursorWrapper, since: datetime) -> Iterator[Difference]:
    cursor.execute(_STRAYS, {"since": since, "most": MOST_DIFFERENCES})
    for advertiser_id, pixel_id, fires in cursor.fetchall():
        what = f"fires {_of(advertiser_id)} under pixel {pixel_id}, which is gone or another advertiser's"
        yield Difference(what, 0, fires)


def _unarrived(cursor: CursorWrapper, since: datetime) -> Iterator[Difference]:
    cursor.execute(_UNARRIVED, {"since": since, "most": MOST_DIFFERENCES})
    for hour, counted, ids in cursor.fetchall():
        yield Difference(f"messages that came, {hour:%Y-%m-%d %H:00} UTC", counted, ids)


def _of(advertiser_id: int | None) -> str:
    return "of no advertiser" if advertiser_id is None else f"of advertiser {advertiser_id}"
