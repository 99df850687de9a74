"""What may be saved of an export, and the saving itself: one way for admin and API.

`check_…` raises Django's `ValidationError` with a message per field; `save_export` stores what fits together.
"""

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from audience.identity import KINDS
from exports import calendar, file_names, formats, timetable
from exports import columns as sources
from exports.models import Export, ExportColumn, ExportSegment
from segments.models import Segment

MOST_SEGMENTS = 100
_PARTNER_KIND = re.compile(r"partner:[A-Za-z0-9_-]{1,32}")
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_CLOCK_FIELDS = frozenset({"time", "unix", "unix_ms", "run"})


def check_export(export: Export) -> None:
    """Raise `ValidationError` by field where the settings of an export do not fit each other."""
    errors = _name_errors(export) | _time_errors(export)
    try:
        formats.check_null_text(export.null_text, formats.delimiter_of(export.delimiter))
    except ValidationError as error:
        errors["null_text"] = error.messages[0]
    if errors:
        raise ValidationError(errors)


def check_column(column: ExportColumn) -> None:
    """Raise `ValidationError` by field where the settings of a column do not fit each other."""
    errors = _identifier_errors(column) if column.source == sources.IDENTIFIER else _other_errors(column)
    if _NOT_PRINTABLE.search(column.header):
        errors["header"] = "A header has no line breaks."
    if errors:
        raise ValidationError(errors)


def check_parts(export: Export, segments: Sequence[Segment], columns: Sequence[ExportColumn]) -> None:
    """Raise `ValidationError` by field where an export's segments and columns do not fit its layout."""
    problems = {
        "segments": _segments_problem(segments),
        "columns": _columns_problem(export, segments, columns),
        "file_name": _segment_name_problem(export, segments),
    }
    errors = {field: problem for field, problem in problems.items() if problem}
    if errors:
        raise ValidationError(errors)


def save_export(
    export: Export,
    *,
    segments: Sequence[Segment] | None = None,
    columns: Sequence[ExportColumn] | None = None,
) -> None:
    """Save an export with its segments and columns in their order, and plan its next run.

    None leaves the segments or columns that are there. Raises `ValidationError` where they do not fit.
    """
    check_export(export)
    check_parts(export, *parts_of(export, segments, columns))
    calendar.plan(export)
    with transaction.atomic():
        export.save()
        if segments is not None:
            _replace_segments(export, segments)
        if columns is not None:
            _replace_columns(export, columns)


def parts_of(
    export: Export, segments: Sequence[Segment] | None, columns: Sequence[ExportColumn] | None
) -> tuple[Sequence[Segment], Sequence[ExportColumn]]:
    """Return the parts that are given, or else those that are stored."""
    if segments is None:
        stored = ExportSegment.objects.filter(export=export.pk).select_related("segment")
        segments = [named.segment for named in stored]
    if columns is None:
        columns = list(ExportColumn.objects.filter(export=export.pk))
    return segments, columns


def warnings_of(export: Export) -> list[str]:
    """Return what the marketer should know although it can be saved."""
    fields = file_names.fields_of(export.file_name)
    if not fields & file_names.DISTINCT_FIELDS:
        return ["The file name has no date, time or run number: each run replaces the file of the one before."]
    if "date" in fields and not fields & _CLOCK_FIELDS:
        return ["A second run on the same day gets a name with _2, which an import by date may miss."]
    return []


def _replace_segments(export: Export, segments: Sequence[Segment]) -> None:
    ExportSegment.objects.filter(export=export).delete()
    for position, segment in enumerate(dict.fromkeys(segments)):
        ExportSegment.objects.create(export=export, segment=segment, position=position)


def _replace_columns(export: Export, columns: Sequence[ExportColumn]) -> None:
    ExportColumn.objects.filter(export=export).delete()
    for position, column in enumerate(columns):
        column.pk, column.export, column.position = None, export, position
        column.save(force_insert=True)


def _identifier_errors(column: ExportColumn) -> dict[str, str]:
    kind = column.identifier_kind
    if kind not in KINDS and not _PARTNER_KIND.fullmatch(kind):
        return {"identifier_kind": f"Use one of {', '.join(KINDS)} or partner:NAME."}
    return {}


def _other_errors(column: ExportColumn) -> dict[str, str]:
    errors = {}
    if column.identifier_kind:
        errors["identifier_kind"] = "Only a column with an identifier has a kind."
    if column.values != sources.NEWEST:
        errors["values"] = "Only of identifiers a person can have several."
    if column.is_required:
        errors["is_required"] = "Only identifiers can be required."
    return errors


def _segments_problem(segments: Sequence[Segment]) -> str:
    if not 1 <= len(segments) <= MOST_SEGMENTS:
        return f"Choose 1 to {MOST_SEGMENTS} segments."
    if any(segment.deleted_at is not None for segment in segments):
        return "One of these segments was deleted."
    if of_accounts := [segment.name for segment in segments if segment.of == Segment.Of.ACCOUNT]:
        return f"The members of “{of_accounts[0]}” are accounts, and the rows of a file are people."
    return ""


def _columns_problem(export: Export, segments: Sequence[Segment], columns: Sequence[ExportColumn]) -> str:
    if not columns:
        return "Choose at least one column."
    if _width(export, segments, columns) > sources.MOST_COLUMNS:
        return f"A file has at most {sources.MOST_COLUMNS} columns."
    if sum(column.values == sources.ROWS for column in columns) > 1:
        return "Only one column can have a row for each value."
    needs_segment = export.layout in (Export.Layout.SEGMENT_COLUMN, Export.Layout.SEGMENT_LIST)
    if needs_segment and not sources.SEGMENT_SOURCES.intersection(column.source for column in columns):
        return "This layout needs a column with the segment: its number, code or name."
    return ""


def _width(export: Export, segments: Sequence[Segment], columns: Sequence[ExportColumn]) -> int:
    flags = len(segments) if export.layout == Export.Layout.SEGMENT_FLAGS else 0
    return flags + sum(column.count if column.values == sources.COLUMNS else 1 for column in columns)


def _segment_name_problem(export: Export, segments: Sequence[Segment]) -> str:
    has_several = export.layout == Export.Layout.FILE_PER_SEGMENT and len(segments) > 1
    if has_several and not file_names.fields_of(export.file_name) & file_names.SEGMENT_FIELDS:
        return "With one file per segment the name needs {segment_code}, {segment_id} or {segment}."
    return ""


def _name_errors(export: Export) -> dict[str, str]:
    try:
        file_names.check_template(export.file_name)
    except ValidationError as error:
        return {"file_name": error.messages[0]}
    fields = file_names.fields_of(export.file_name)
    if (export.split_rows or export.split_bytes) and "part" not in fields:
        return {"file_name": "With several parts the name needs {part}."}
    if not fields & file_names.DISTINCT_FIELDS and export.name_taken != Export.NameTaken.REPLACE:
        problem = "Without {date}, {time} or {run} every file has one name. Add a field, or let it be replaced."
        return {"file_name": problem}
    return {}


def _time_errors(export: Export) -> dict[str, str]:
    if export.schedule == timetable.ONCE and export.once_at is None:
        return {"once_at": "Say at which time."}
    if export.schedule == timetable.CRON:
        try:
            timetable.check_cron(export.cron)
        except ValidationError as error:
            return {"cron": error.messages[0]}
    return {}
