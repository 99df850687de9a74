"""What a form that is not saved yet would do: the files' names, the next times, and the first rows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils import timezone

from audience.admin.base import taken_seat
from exports import file_names, timetable
from exports.admin import showing
from exports.calendar import schedule_of
from exports.editing import warnings_of
from exports.models import Export
from exports.reasons import DeliveryError
from segments.models import Segment

NAMES_SHOWN = 5
TIMES_SHOWN = 5
_TIME_FIELDS = frozenset({"schedule", "zone", "once_at", "at_time", "minute", "weekday", "cron"})
NO_PEOPLE = "These rows show persons. An owner of your team can give you the right to see them."
TOO_SLOW = "Finding the first rows takes too long while so many people are in. The file itself has no such limit."


@dataclass(frozen=True)
class Filled:
    """A form as it was sent, with its lines."""

    form: Any
    segments: Any
    columns: Any

    @property
    def export(self) -> Export:
        export: Export = self.form.instance
        return export


def sketch(page_admin: Any, request: HttpRequest, row: Export | None) -> HttpResponse:
    """Answer what the form means: names, times in the zone and in UTC, warnings."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    filled = page_admin.filled(request, row)
    filled.form.is_valid()
    filled.segments.is_valid()
    errors = filled.form.errors
    name_errors = [str(problem) for problem in errors.get("file_name", [])]
    fits = not name_errors and "zone" not in errors
    return JsonResponse(
        {
            "names": names_of(filled.export, filled.segments.segments()) if fits else [],
            "name_errors": name_errors,
            "warnings": warnings_of(filled.export) if fits else [],
            "times": [] if _TIME_FIELDS & set(errors) else times_of(filled.export),
            "time_errors": [str(one) for name in sorted(_TIME_FIELDS & set(errors)) for one in errors[name]],
            "is_by_hand": filled.export.schedule == timetable.BY_HAND,
        }
    )


def rows(page_admin: Any, request: HttpRequest, row: Export | None) -> HttpResponse:
    """Answer the first rows as the file would have them."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not taken_seat(request).may_see_people:
        return JsonResponse({"errors": [NO_PEOPLE]})
    filled = page_admin.filled(request, row)
    is_valid = all([filled.form.is_valid(), filled.segments.is_valid(), filled.columns.is_valid()])
    if not is_valid:
        return JsonResponse({"errors": _errors(filled)})
    return rows_answer(page_admin.first_rows(filled), page_admin, request, row)


def rows_answer(first_rows: Any, page_admin: Any, request: HttpRequest, row: Export | None) -> HttpResponse:
    """Answer with rows, or with why there are none; who looked at persons is written down."""
    try:
        header, *lines = first_rows()
    except DeliveryError as error:
        return JsonResponse({"errors": [str(error)]})
    except OperationalError:
        return JsonResponse({"errors": [TOO_SLOW]})
    if row is not None:
        page_admin.log_change(request, row, f"Looked at a preview of {len(lines)} rows.")
    return JsonResponse({"header": header, "rows": lines})


def names_of(export: Export, segments: list[Segment], *, due_at: datetime | None = None) -> list[str]:
    """Return what the files of the next run would be called, one for each file of the set."""
    due = due_at or next(iter(_next_times(export)), timezone.now())
    ending = ".gz" if export.compression == Export.Compression.GZIP else ""
    is_each = export.layout == Export.Layout.FILE_PER_SEGMENT
    named: list[Segment | None] = list(segments) if is_each or len(segments) == 1 else [None]
    return [
        file_names.render(export.file_name, _fields(export, segment, due), ending=ending)
        for segment in (named or [None])[:NAMES_SHOWN]
    ]


def times_of(export: Export) -> list[dict[str, str]]:
    """Return the next times, by the export's clock and in UTC."""
    zone = showing.zone_of(export.zone)
    return [
        {"local": f"{at.astimezone(zone):%a %-d %b, %H:%M}", "utc": f"{at.astimezone(UTC):%-d %b, %H:%M} UTC"}
        for at in _next_times(export)
    ]


def _next_times(export: Export) -> list[datetime]:
    return timetable.next_times(schedule_of(export), timezone.now(), TIMES_SHOWN)


def _fields(export: Export, segment: Segment | None, due_at: datetime) -> file_names.Fields:
    return file_names.Fields(
        advertiser=export.advertiser.name,
        export=export.name or "export",
        run=export.runs.order_by("-pk").values_list("pk", flat=True).first() or 1 if export.pk else 1,
        due_at=due_at.astimezone(showing.zone_of(export.zone)),
        mode=export.mode,
        segment_id=str(segment.pk) if segment else "segments",
        segment_code=segment.code if segment else "segments",
        segment=segment.name if segment else "segments",
        part="001" if export.is_first_part_numbered else "",
    )


def _errors(filled: Filled) -> list[str]:
    sheets = [filled.form, *filled.segments.forms, *filled.columns.forms]
    named = [
        f"{sheet.fields[name].label or name.capitalize()}: {problem}" if name in sheet.fields else str(problem)
        for sheet in sheets
        for name, problems in sheet.errors.items()
        for problem in problems
    ]
    lines = [str(one) for formset in (filled.segments, filled.columns) for one in formset.non_form_errors()]
    return list(dict.fromkeys([*named, *lines]))
