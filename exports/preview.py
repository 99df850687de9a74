"""The first rows of an export, as its file will have them, without a run."""

import csv
import io
from dataclasses import replace

from exports import formats
from exports.models import Export
from exports.plan import plan_of
from exports.rows import snapshot

ROWS_SHOWN = 20


def preview_of(export: Export, *, rows: int = ROWS_SHOWN) -> list[list[str]]:
    """Return the header line and the first rows of an export's first file; they show persons.

    Raises `DeliveryError` segment_gone.
    """
    plan = plan_of(export)
    with snapshot() as view:
        versions = view.versions(plan.segments)
        plan = replace(plan, segments=tuple(replace(one, version=versions[one.id]) for one in plan.segments))
        first = plan.for_segment(plan.segments[0]) if plan.layout == Export.Layout.FILE_PER_SEGMENT else plan
        encoder = formats.RowEncoder(first.form)
        content = b"".join(encoder.encode(view.rows(first, limit=rows))).decode(first.form.codec)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=first.form.delimiter)
    return [first.headers(), *reader]
