"""`manage.py balance`: received = applied + duplicate + rejected + suppressed + pending, recounted from rows."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pixels.balance import DAYS, Balance, Line, balance, pending_in

HEADINGS = (
    "Advertiser",
    "Source",
    "Day (UTC)",
    "Received",
    "Applied",
    "Duplicate",
    "Rejected",
    "Suppressed",
    "Pending",
)
NUMBERS = frozenset({"Received", "Applied", "Duplicate", "Pending"})


class Command(BaseCommand):
    help = (
        "Show what came in by advertiser, source and day and how it ended, and compare all counts with the rows. "
        "Reads whole tables; exits 1 with what differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the books as JSON")
        parser.add_argument("--days", type=int, default=DAYS, help=f"how many days to show (default: {DAYS})")

    def handle(self, *args: Any, **options: Any) -> None:
        pending = pending_in(settings.MUSTER_SPOOL_DIR)
        books = balance(days=options["days"], pending=pending)
        text = json.dumps(as_json(books), indent=2) if options["json"] else "\n".join(table(books.lines))
        self.stdout.write(text)
        if books.differences:
            raise CommandError("The books do not balance.\n" + "\n".join(f"- {one}" for one in books.differences))
        if not options["json"]:
            self.stdout.write("\nThe books balance: every count is what the rows say.")


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of a table, each column as wide as it must be."""
    rows = [HEADINGS, *(_cells(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(HEADINGS, row, widths, strict=True)
        yield "  ".join(
            text.rjust(width) if name in NUMBERS else text.ljust(width) for name, text, width in cells
        ).rstrip()


def _cells(line: Line) -> tuple[str, ...]:
    whose = "(none)" if line.advertiser_id is None else f"{line.advertiser_id} {line.advertiser}".strip()
    return (
        *(whose, line.source, str(line.day)),
        *(f"{number:,}" for number in (line.received, line.applied, line.duplicate)),
        *(_by_reason(line.rejected), _by_reason(line.suppressed), f"{line.pending:,}"),
    )


def _by_reason(reasons: Mapping[str, int]) -> str:
    listed = ", ".join(f"{reason} {fires:,}" for reason, fires in sorted(reasons.items()))
    return f"{sum(reasons.values()):,} ({listed})" if reasons else "0"


def as_json(books: Balance) -> dict[str, Any]:
    """Return the books as plain values."""
    return {
        "at": books.at.isoformat(),
        "lines": [_line_as_json(line) for line in books.lines],
        "differences": [vars(one) | {"sentence": str(one)} for one in books.differences],
    }


def _line_as_json(line: Line) -> dict[str, Any]:
    return {
        "advertiser": line.advertiser_id,
        "name": line.advertiser,
        "source": line.source,
        "day": line.day.isoformat(),
        "received": line.received,
        "applied": line.applied,
        "duplicate": line.duplicate,
        "rejected": line.rejected,
        "suppressed": line.suppressed,
        "pending": line.pending,
    }
