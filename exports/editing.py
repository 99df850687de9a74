"""Changing an export as a whole: its row, its segments, its columns and its next due time in one transaction."""

from collections.abc import Iterator, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from audience.identity import KINDS
from exports import calendar, columns, file_names, timetable
from exports.models import Export, ExportColumn, ExportSegment
from segments.models import Segment

MOST_SEGMENTS = 100
# Fields that make the names of two days, or of two runs, differ.
_DISTINGUISHING = frozenset({"date", "time", "unix", "unix_ms", "run"})


def check_export(export: Export) -> None:
    """Raise `ValidationError` by field where the settings of an export do not fit each other."""
    faults = dict(_faults(export))
    if faults:
        raise ValidationError(faults)


def check_column(column: ExportColumn) -> None:
    """Raise `ValidationError` by field where the settings of a column do not fit each other."""
    kind = column.identifier_kind
    if column.source != columns.IDENTIFIER:
        if kind:
            raise ValidationError({"identifier_kind": "Only a column with an identifier has a kind."})
    elif kind not in KINDS and not kind.startswith("partner:"):
        raise ValidationError({"identifier_kind": f"Use one of {', '.join(KINDS)} or partner:NAME."})


def save_export(
    export: Export, *, segments: Sequence[Segment] | None = None, columns: Sequence[ExportColumn] | None = None
) -> None:
    """Save an export; segments and columns that are given replace those that are there, in their order."""
    calendar.plan(export)
    with transaction.atomic():
        export.save()
        if segments is not None:
            ExportSegment.objects.filter(export=export).delete()
            for position, segment in enumerate(dict.fromkeys(segments)):
                ExportSegment.objects.create(export=export, segment=segment, position=position)
        if columns is not None:
            ExportColumn.objects.filter(export=export).delete()
            for position, column in enumerate(columns):
                column.export, column.position = export, position
                column.save()


def _faults(export: Export) -> Iterator[tuple[str, str]]:
    if export.schedule == timetable.ONCE and export.once_at is None:
        yield "once_at", "Say at which time."
    if export.schedule == timetable.CRON and not export.cron:
        yield "cron", "Write five fields: minute, hour, day, month and weekday, for example 30 4 * * 1-5."
    is_always_the_same = not file_names.fields_of(export.file_name) & _DISTINGUISHING
    if is_always_the_same and export.name_taken != Export.NameTaken.REPLACE:
        yield (
            "file_name",
            "Without {date}, {time} or {run} every file has one name. Add a field, or let it be replaced.",
        )
