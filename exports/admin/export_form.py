"""The form of an export: what, to whom, which columns, which name, which form, and when."""

from datetime import datetime, time
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BaseInlineFormSet
from django.utils import timezone
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from audience.admin.base import TenantForm
from audience.identity import KINDS
from exports import columns as sources
from exports import timetable
from exports.admin.showing import zone_of
from exports.editing import check_column, check_export, check_parts
from exports.models import Export, ExportColumn, ExportSegment
from segments.models import Segment

PARTNER = "partner"
_IDENTIFIERS = {
    "customer_id": "Customer id",
    "email": "E-mail address",
    "phone": "Phone number",
    "browser": "Browser id",
    "device": "Device id",
}
_KIND = f"{sources.IDENTIFIER}:"
WHAT_CHOICES = (
    ("", "Choose…"),
    (
        "Who it is",
        (
            *((_KIND + kind, _IDENTIFIERS.get(kind, kind)) for kind in sorted(KINDS, key=list(_IDENTIFIERS).index)),
            (_KIND + PARTNER, "Id of a partner"),
        ),
    ),
    (
        "Membership",
        tuple((code, label) for code, label in sources.CHOICES if code not in (sources.IDENTIFIER, sources.CONSTANT)),
    ),
    ("Other", ((sources.CONSTANT, "Always the same text"),)),
)
_LAST = 10**6


class ClockInput(forms.TimeInput):
    """A time of the day, as the browser asks for it."""

    input_type = "time"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({**(attrs or {}), "class": " ".join([*INPUT_CLASSES, "m-short"])}, format="%H:%M")


class WallTimeField(forms.Field):
    """Date and time of a clock on a wall: an instant once the zone beside it is known."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> datetime | None:
        if not value or isinstance(value, datetime):
            return value or None
        try:
            return datetime.fromisoformat(str(value)).replace(tzinfo=None)
        except ValueError as error:
            raise ValidationError("Write a date and a time.") from error


class ExportForm(TenantForm):
    """An export as a marketer fills it in."""

    zone = forms.ChoiceField(
        label="Time zone",
        widget=UnfoldAdminSelect2Widget,
        help_text="The clock of these times, of the dates in file names and of the times in the file.",
    )
    once_at = WallTimeField(
        label="On",
        required=False,
        widget=UnfoldAdminTextInputWidget(
            {"type": "datetime-local", "class": "m-short", "data-when": "schedule=once"}
        ),
    )
    at_time = forms.TimeField(
        label="At", initial=time(4), required=False, widget=ClockInput({"data-when": "schedule=nightly|weekly"})
    )
    minute = forms.IntegerField(
        label="At minute",
        initial=0,
        required=False,
        min_value=0,
        max_value=59,
        widget=UnfoldAdminIntegerFieldWidget({"data-when": "schedule=hourly", "min": 0, "max": 59}),
    )
    weekday = forms.TypedChoiceField(
        label="On",
        required=False,
        coerce=int,
        empty_value=None,
        choices=timetable.WEEKDAY_CHOICES,
        widget=UnfoldAdminSelectWidget({"data-when": "schedule=weekly"}),
    )

    class Meta:
        model = Export
        # The page names the others: foreign keys are read from the database, where nobody is at work yet.
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "zone" not in self.fields:
            return  # shown to somebody who may only look
        zone = self.fields["zone"]
        zone.choices = _zones(self.instance.zone)  # type: ignore[attr-defined]
        self.fields["cron"].widget.attrs |= {"data-when": "schedule=cron", "placeholder": "30 4 * * 1-5"}
        self.fields["catch_up"].widget.attrs["data-when"] = "schedule=once|hourly|nightly|weekly|cron"
        self.fields["is_active"].widget.attrs["data-when"] = "schedule=once|hourly|nightly|weekly|cron"
        self.fields["sentinel_ending"].widget.attrs["data-when"] = "has_sentinel=on"
        self.fields["sentinel_ending"].required = False
        self.fields["cron"].required = False
        if self.instance.pk and self.instance.once_at:
            self.initial["once_at"] = (
                f"{self.instance.once_at.astimezone(zone_of(self.instance.zone)):%Y-%m-%dT%H:%M}"
            )

    def clean(self) -> dict[str, Any]:
        """Fill what the chosen timetable does not ask for with its usual value."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        usual = Export()
        for name in ("at_time", "minute", "weekday", "sentinel_ending"):
            if cleaned.get(name) in (None, "") and name not in self.errors:
                cleaned[name] = getattr(usual, name)
        cleaned["once_at"] = self._instant(cleaned)
        return cleaned

    def _instant(self, cleaned: dict[str, Any]) -> datetime | None:
        wall = cleaned.get("once_at")
        if wall is None or cleaned.get("schedule") != timetable.ONCE or not cleaned.get("zone"):
            return None
        at = timetable.instant_of(wall, zone_of(cleaned["zone"]))
        if at <= timezone.now() and "once_at" in self.changed_data:
            self.add_error("once_at", "This time is over. Choose a later one, or press Run now.")
        return at

    def _post_clean(self) -> None:
        """Check the row as a whole once the fields have reached it."""
        super()._post_clean()  # type: ignore[misc]
        try:
            check_export(self.instance)
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                if name not in self.errors:
                    self.add_error(name if name in self.fields else None, problems)


def _zones(present: str) -> list[tuple[str, str]]:
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    names = ["UTC", *names]
    return [(name, name.replace("_", " ")) for name in ([present] if present not in names else []) + names]


class RowForm(TenantForm):
    """A line of an export's segments or columns; its place among the others is no change by itself."""

    # Written by the page's script when a line is dragged.
    position = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def has_changed(self) -> bool:
        return bool(set(self.changed_data) - {"position"})


class SegmentRowForm(RowForm):
    """One segment of an export."""

    class Meta:
        model = ExportSegment
        fields = ("position",)


class ColumnForm(RowForm):
    """One column of the file."""

    what = forms.ChoiceField(
        choices=WHAT_CHOICES, widget=UnfoldAdminSelectWidget({"data-what": "", "aria-label": "What"})
    )
    detail = forms.CharField(
        label="Text or partner",
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget({"data-of": f"{_KIND}{PARTNER} {sources.CONSTANT}"}),
    )

    class Meta:
        model = ExportColumn
        fields = ("position", "header", "values", "count", "is_required")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "what" not in self.fields:
            return
        if self.instance.pk:
            self.initial.update(what=_what(self.instance), detail=_detail(self.instance))
        identifiers = " ".join(code for code, _ in WHAT_CHOICES[1][1] if isinstance(code, str))
        for name in ("values", "count", "is_required"):
            self.fields[name].widget.attrs["data-of"] = identifiers
            self.fields[name].required = False
        self.fields["count"].label, self.fields["count"].initial = "Up to", 2
        self.fields["header"].label = "Name in the file"

    def has_changed(self) -> bool:
        # A line that the new form came with is wanted as it is.
        return super().has_changed() or bool(self.is_bound and not self.instance.pk and self["what"].value())

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        what, detail = cleaned.get("what") or "", (cleaned.get("detail") or "").strip()
        row = self.instance
        is_identifier = what.startswith(_KIND)
        row.source = sources.IDENTIFIER if is_identifier else what
        kind = what.removeprefix(_KIND) if is_identifier else ""
        row.identifier_kind = f"{PARTNER}:{detail}" if kind == PARTNER else kind
        row.constant = (cleaned.get("detail") or "") if row.source == sources.CONSTANT else ""
        if not is_identifier:
            cleaned |= {"values": sources.NEWEST, "is_required": False}
        cleaned["values"] = cleaned.get("values") or sources.NEWEST
        cleaned["count"] = (cleaned.get("count") or 2) if cleaned["values"] == sources.COLUMNS else 1
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.cleaned_data.get("what"):
            return
        try:
            check_column(self.instance)
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                place = "detail" if name in ("identifier_kind", "constant") else name
                self.add_error(place, "Write the partner's name as in your list." if place == "detail" else problems)


def _what(row: ExportColumn) -> str:
    if row.source != sources.IDENTIFIER:
        return row.source
    return _KIND + row.identifier_kind.partition(":")[0]


def _detail(row: ExportColumn) -> str:
    return row.constant if row.source == sources.CONSTANT else row.identifier_kind.partition(":")[2]


class OrderedFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """Lines in the order in which they were dragged."""

    def ordered(self) -> list[Any]:
        """Return the lines that are filled in and stay."""
        lines = []
        for index, form in enumerate(self.forms):
            cleaned = getattr(form, "cleaned_data", {})
            if set(cleaned) - {"DELETE", "position"} and not cleaned.get("DELETE") and form.is_valid():
                position = cleaned.get("position")
                lines.append((_LAST if position is None else position, index, form))
        return [form for _, _, form in sorted(lines, key=lambda line: line[:2])]


class SegmentFormSet(OrderedFormSet):
    """The segments of an export; it hears from the columns what does not fit."""

    def segments(self) -> list[Segment]:
        return [form.cleaned_data["segment"] for form in self.ordered() if form.cleaned_data.get("segment")]

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        problems = _problems(self.instance, self.segments(), [])
        found = [problem for name in ("segments", "file_name") for problem in problems.get(name, [])]
        if found:
            raise ValidationError(found)


class ColumnFormSet(OrderedFormSet):
    """The columns of an export, checked together with the segments, which the page hands over."""

    segment_lines: SegmentFormSet | None = None

    def columns(self) -> list[ExportColumn]:
        return [form.instance for form in self.ordered()]

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        segments = self.segment_lines.segments() if self.segment_lines and self.segment_lines.is_valid() else []
        found = _problems(self.instance, segments, self.columns()).get("columns", [])
        if found:
            raise ValidationError(found)


def _problems(export: Export, segments: list[Segment], columns: list[ExportColumn]) -> dict[str, list[str]]:
    try:
        check_parts(export, segments, columns)
    except ValidationError as error:
        return error.message_dict
    return {}
