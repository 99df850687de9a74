"""The first rows of an export, as its file will have them, without a run."""

import csv
import io
from dataclasses import replace

from exports import formats
from exports.models import Export
from exports.plan import Plan, plan_of
from exports.rows import snapshot

ROWS_SHOWN = 20
# A page waits for it, and other pages for the page.
MOST_SECONDS = 10


def preview_of(export: Export, *, rows: int = ROWS_SHOWN) -> list[list[str]]:
    """Return the header line and the first rows of an export's first file; they show persons.

    Raises `DeliveryError` segment_gone, or `OperationalError` where that takes too long.
    """
    return preview_of_plan(plan_of(export), rows=rows)


def preview_of_plan(plan: Plan, *, rows: int = ROWS_SHOWN) -> list[list[str]]:
    """Return the same for an export that need not be saved."""
    with snapshot() as view:
        view.cursor.execute(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'")
        versions = view.versions(plan.segments)
        plan = replace(plan, segments=tuple(replace(one, version=versions[one.id]) for one in plan.segments))
        first = plan.for_segment(plan.segments[0]) if plan.layout == Export.Layout.FILE_PER_SEGMENT else plan
        encoder = formats.RowEncoder(first.form)
        content = b"".join(encoder.encode(view.rows(first, limit=rows))).decode(first.form.codec)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=first.form.delimiter)
    return [first.headers(), *reader]
