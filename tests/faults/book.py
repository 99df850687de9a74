"""What a ledger client has written down, beside what stands in the database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg

from tests.faults.ledger import ANSWERED, REFUSED

_STORED = """
    SELECT f.other, f.outcome, EXISTS (
        SELECT FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id
        WHERE m.profile_id = f.profile_id AND m.advertiser_id = f.advertiser_id AND m.version = s.active_version
            AND m.starts_at <= %(at)s AND %(at)s < m.expires_at
    )
    FROM pixels_fire f WHERE f.other LIKE %(name)s
"""


class Entry(NamedTuple):
    """One request with its answer. `status` is 0 where none came."""

    number: str
    status: int
    fire_id: str
    milliseconds: float
    at: float  # seconds since 1970, when the answer was in or given up

    @property
    def is_answered(self) -> bool:
        return self.status in ANSWERED

    @property
    def is_refused(self) -> bool:
        return self.status == REFUSED


@dataclass
class Book:
    """A ledger client's file: what was sent and when, and the entries whose end the client has seen."""

    sent_at: dict[str, float] = field(default_factory=dict)  # seconds since 1970
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file; the last line of a client that was killed may be torn."""
        book = cls()
        text = file.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            number, status, *rest = line.split(" ")
            if status == "sent":
                book.sent_at[number] = float(rest[0])
            else:
                fire_id, milliseconds, at = rest
                known = 0 if status == "none" else int(status)
                book.entries[number] = Entry(number, known, fire_id, float(milliseconds), float(at))
        return book

    @property
    def sent(self) -> set[str]:
        return set(self.sent_at)

    @property
    def answered(self) -> set[str]:
        return {one.number for one in self.entries.values() if one.is_answered}

    @property
    def refused(self) -> set[str]:
        return {one.number for one in self.entries.values() if one.is_refused}

    @property
    def unanswered(self) -> set[str]:
        """What got no answer, or one that says neither yes nor no."""
        return self.sent - self.answered - self.refused

    def milliseconds(self, *, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Return how long the answers took that came in between, sorted."""
        return sorted(one.milliseconds for one in self.entries.values() if one.status and since <= one.at <= until)

    def __str__(self) -> str:
        return f"{len(self.answered)} answered, {len(self.refused)} refused, {len(self.unanswered)} without an answer"

    def check(self, database: psycopg.Connection[Any]) -> None:
        """Hold the file against the database: R1. All that was spooled must be replayed by now.

        The fires must have been such that each one adds to a segment.
        """
        stored = self.stored(database)
        numbers = [number for number, _, _ in stored]
        lost = self.answered - set(numbers)
        assert not lost, f"{len(lost)} fires were acknowledged and are not stored, {sorted(lost)[:3]}; {self}"
        invented = set(numbers) - self.sent
        assert not invented, f"stored and never sent: {sorted(invented)[:3]}"
        assert len(numbers) == len(set(numbers)), f"{len(numbers) - len(set(numbers))} fires are stored twice"
        outside = [number for number, outcome, is_member in stored if outcome == "applied" and not is_member]
        assert not outside, f"{len(outside)} were applied and are not members: {outside[:3]}"
        refused = [number for number, outcome, _ in stored if outcome not in ("applied", "duplicate")]
        assert not refused, f"{len(refused)} good fires ended otherwise: {refused[:3]}"

    def stored(self, database: psycopg.Connection[Any]) -> list[tuple[str, str, bool]]:
        """Return the number, the outcome, and whether the person is in the segment, of what was stored."""
        name = next(iter(self.sent)).partition(".")[0]
        where = {"name": f"{name}.%", "at": datetime.now(UTC)}
        return database.execute(_STORED, where).fetchall()

    def check_received(self, received: int) -> None:
        """Hold the file against the number of fires that the books of the product count as received: R4."""
        least, most = len(self.answered), len(self.answered) + len(self.unanswered)
        assert least <= received <= most, f"{received} were received; {self}"
