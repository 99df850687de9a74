"""The pages of exports: list, form with preview, overview with the runs, and Run now."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter

from audience.admin.base import TenantRelatedFilter, TenantTabularInline, taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin, RemovableAdmin, Use
from audience.models import Role
from exports.admin import showing, sketch
from exports.admin.export_form import (
    ColumnForm,
    ColumnFormSet,
    ExportForm,
    SegmentFormSet,
    SegmentRowForm,
)
from exports.columns import MOST_COLUMNS, usual_header
from exports.editing import MOST_SEGMENTS, save_export, warnings_of
from exports.models import Destination, Export, ExportColumn, ExportSegment, Run
from exports.plan import plan_with
from exports.preview import preview_of, preview_of_plan
from exports.reasons import Refused
from exports.runs import start_run
from segments.models import Segment

RUNS_SHOWN = 30
_NEW_COLUMNS = ({"what": "identifier:customer_id", "is_required": True}, {"what": "expires_at"})


def overview(page_admin: PagedAdmin, request: HttpRequest, export: Export) -> HttpResponse:
    """Show what is sent where and when, and how the last runs went; `?part=live` gives the runs alone."""
    runs = list(Run.objects.filter(export=export).select_related("destination")[:RUNS_SHOWN])
    zone = showing.zone_of(export.zone)
    context = {
        "export": export,
        "runs": [_run_line(run, zone) for run in runs],
        "has_open_run": any(run.is_open for run in runs),
        "links": {page: page_admin.url_of(export, page) for page in ("overview", "run", "rows-now", "change")},
    }
    if request.GET.get("part") == "live":
        return TemplateResponse(request, "admin/exports/export_runs.html", context)
    segments = _segments_of(export)
    context |= {
        "segments": segments,
        "gone": [segment for segment in segments if segment.deleted_at],
        "columns": [(column, _header_of(column)) for column in export.columns.all()],
        "names": sketch.names_of(export, segments),
        "times": sketch.times_of(export) if export.is_active else [],
        "destination_tone": showing.tone_of(export.destination.state),
        "is_ready": export.destination.state == Destination.State.READY,
        "may_see_people": taken_seat(request).may_see_people,
    }
    return page_admin.render_page(request, export, "admin/exports/export.html", "overview", **context)


def _run_line(run: Run, zone: Any) -> dict[str, Any]:
    return {
        "row": run,
        "due": showing.moment(run.due_at, zone),
        "tone": showing.tone_of(run.state),
        "size": showing.in_bytes(run.bytes_packed) if run.bytes_packed else "",
        "took": showing.span(run.started_at, run.ended_at),
    }


def _segments_of(export: Export) -> list[Segment]:
    return [named.segment for named in export.export_segments.select_related("segment")]


def _header_of(column: ExportColumn) -> str:
    return column.header or usual_header(column.source, column.identifier_kind)


def run_now(page_admin: PagedAdmin, request: HttpRequest, export: Export) -> HttpResponse:
    """Start a run; with `only_write` the files stay here."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    is_to_be_sent = "only_write" not in request.POST
    try:
        run = start_run(export, started_by=showing.person_at(request), is_to_be_sent=is_to_be_sent)
    except Refused as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(page_admin.url_of(export, "overview"))
    page_admin.log_change(request, export, f"Started {run}.")
    return HttpResponseRedirect(reverse("admin:exports_run_overview", args=[run.pk]))


def rows_now(page_admin: PagedAdmin, request: HttpRequest, export: Export) -> HttpResponse:
    """Answer the first rows of a saved export."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not taken_seat(request).may_see_people:
        raise PermissionDenied(sketch.NO_PEOPLE)
    return sketch.rows_answer(partial(preview_of, export), page_admin, request, export)


class SegmentInline(TenantTabularInline):
    """The segments whose members go out."""

    model = ExportSegment
    form, formset = SegmentRowForm, SegmentFormSet
    fields = ("segment", "position")
    autocomplete_fields = ("segment",)
    role_to_view = Role.MANAGER
    verbose_name_plural = "Segments"
    max_num = MOST_SEGMENTS

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)
        if "segment" in formset.form.base_fields:  # it is not where one may only look
            widget = formset.form.base_fields["segment"].widget
            widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        return formset

    def get_extra(self, request: HttpRequest, obj: Any = None, **_: Any) -> int:
        return 1 if obj is None else 0


class ColumnInline(TenantTabularInline):
    """The columns of the file, in their order."""

    model = ExportColumn
    form, formset = ColumnForm, ColumnFormSet
    fields = ("what", "detail", "header", "values", "count", "is_required", "position")
    role_to_view = Role.MANAGER
    verbose_name_plural = "Columns"
    max_num = MOST_COLUMNS

    def get_extra(self, request: HttpRequest, obj: Any = None, **_: Any) -> int:
        return len(_NEW_COLUMNS) if obj is None else 0


@admin.register(Export)
class ExportAdmin(RemovableAdmin):
    """What is sent where, in which form, and when."""

    role_to_view = Role.MANAGER
    form = ExportForm
    change_form_template = "admin/exports/export_form.html"
    inlines = (SegmentInline, ColumnInline)
    pages = (
        ObjectPage("overview", "Overview", overview, Role.MANAGER),
        ObjectPage("run", "Run now", run_now, Role.MANAGER, is_tab=False),
        ObjectPage("rows-now", "Rows", rows_now, Role.MANAGER, is_tab=False),
        ObjectPage("sketch", "Sketch", sketch.sketch, Role.MANAGER, is_tab=False),
        ObjectPage("rows", "Rows of the form", sketch.rows, Role.MANAGER, is_tab=False),
    )
    deleting_means = "It never ran. Its settings are removed for good."
    empty_list_text = "An export sends the members of your segments as a file, at a click or every night."
    list_display = ("name_and_segments", "destination_now", "when", "last_run")
    list_display_links = None
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("schedule", ChoicesDropdownFilter),
        ("destination", TenantRelatedFilter),
    )
    search_fields = ("name", "destination__name")
    search_help_text = "Search by name or destination"
    fieldsets = (
        ("What goes where", {"fields": ("name", "destination", "layout")}),
        ("File name", {"fields": ("file_name", "name_taken")}),
        (
            "Form of the file",
            {
                "classes": ["collapse"],
                "fields": (
                    *("delimiter", "quoting", "line_end", "has_header", "encoding", "compression"),
                    *("null_text", "booleans", "times", "is_formula_safe"),
                ),
            },
        ),
        (
            "Parts, small and empty files, manifest",
            {
                "classes": ["collapse"],
                "fields": (
                    *("minimum_size", "empty", "split_rows", "split_bytes", "is_first_part_numbered"),
                    *("has_manifest", "has_sentinel", "sentinel_ending", "keep_days"),
                ),
            },
        ),
        (
            "When",
            {
                "fields": (
                    *("schedule", "once_at", "weekday", "at_time", "minute", "cron", "zone"),
                    *("catch_up", "is_active"),
                )
            },
        ),
    )

    class Media:
        css = {"all": ["muster/exports.css"]}

    def get_urls(self) -> list[URLPattern]:
        views = {"sketch": sketch.sketch, "rows": sketch.rows}
        unsaved = [
            path(f"add/{name}/", self.admin_site.admin_view(self._of_new(view)), name=self._url_name(f"add_{name}"))
            for name, view in views.items()
        ]
        return [*unsaved, *super().get_urls()]

    def _of_new(self, view: Callable[..., HttpResponse]) -> Any:
        def page(request: HttpRequest) -> HttpResponse:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return view(self, request, None)

        return page

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        # Deleted for good, not marked: what has run stays, and is switched off.
        rows: QuerySet[Export] = super(RemovableAdmin, self).get_queryset(request)
        return rows.select_related("destination", "advertiser").prefetch_related("export_segments__segment")

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        newest = Run.objects.filter(export__in=rows).order_by("export_id", "-due_at", "-pk").distinct("export_id")
        runs = {run.export_id: run for run in newest}
        for row in rows:
            row.newest_run = runs.get(row.pk)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        usual = {"zone": taken_seat(request).advertiser.time_zone, "schedule": "nightly"}
        return usual | super().get_changeform_initial_data(request)

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if isinstance(inline, ColumnInline) and obj.pk is None and request.method != "POST":
            kwargs["initial"] = list(_NEW_COLUMNS)
        return kwargs

    def _create_formsets(self, request: HttpRequest, obj: Any, change: bool) -> Any:
        formsets, inlines = super()._create_formsets(request, obj, change)
        lines = {type(inline): formset for inline, formset in zip(inlines, formsets, strict=True)}
        if SegmentInline in lines and ColumnInline in lines:
            lines[ColumnInline].segment_lines = lines[SegmentInline]
        return formsets, inlines

    def filled(self, request: HttpRequest, row: Export | None) -> sketch.Filled:
        """Return the form of this request with its lines, as saving would take it; nothing is saved."""
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        form.is_valid()
        segments, columns = self._create_formsets(request, form.instance, row is not None)[0]
        return sketch.Filled(form, segments, columns)

    def first_rows(self, filled: sketch.Filled) -> Callable[[], list[list[str]]]:
        """Return the function that reads the first rows of a form that is not saved."""
        plan = plan_with(filled.export, filled.segments.segments(), filled.columns.columns())
        return partial(preview_of_plan, plan)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        row = self.get_object(request, object_id) if object_id else None
        links = {f"{name}_link": self._link_of_form(row, name) for name in ("sketch", "rows")}
        return super().changeform_view(request, object_id, form_url, {**links, **(extra_context or {})})

    def _link_of_form(self, row: Export | None, name: str) -> str:
        return self.url_of(row, name) if row else reverse(f"admin:{self._url_name(f'add_{name}')}")

    def save_model(self, request: HttpRequest, obj: Export, form: Any, change: bool) -> None:
        """Leave the saving to `save_related`: an export is saved together with its segments and columns."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            formset.save(commit=False)  # for the record of what was changed
        segments, columns = formsets
        save_export(form.instance, segments=segments.segments(), columns=columns.columns())

    def response_add(self, request: HttpRequest, obj: Export, post_url_continue: Any = None) -> Any:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return self._saved(request, obj)

    def response_change(self, request: HttpRequest, obj: Export) -> Any:
        if "_popup" in request.POST or "_continue" in request.POST:
            return super().response_change(request, obj)
        return self._saved(request, obj)

    def _saved(self, request: HttpRequest, obj: Export) -> HttpResponse:
        self.message_user(request, f"The export “{obj}” is saved.", "success")
        for warning in warnings_of(obj):
            self.message_user(request, warning, "warning")
        return HttpResponseRedirect(self.url_of(obj, "overview"))

    def why_not(self, request: HttpRequest, row: Export) -> str:
        count = Run.objects.filter(export=row).count()
        if not count:
            return ""
        return f"Its {count:,} runs are the record of what was sent, so it stays. Switch it off instead."

    def what_depends(self, request: HttpRequest, row: Export) -> Iterable[Use]:
        if row.is_active and row.next_due_at:
            yield Use("Timetable", showing.moment(row.next_due_at, showing.zone_of(row.zone)), "its next run")

    def delete_model(self, request: HttpRequest, obj: Export) -> None:
        obj.delete()

    @admin.display(description="Export", ordering="name")
    def name_and_segments(self, row: Export) -> str:
        link = self.url_of(row, "overview")
        names = [named.segment.name for named in row.export_segments.all()]
        small = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return format_html('<a class="m-name" href="{}">{}<small>{}</small></a>', link, row.name, small)

    @admin.display(description="Goes to")
    def destination_now(self, row: Export) -> str:
        to: Destination = row.destination
        if to.state == Destination.State.READY:
            return to.name
        return format_html("{} {}", to.name, showing.state_badge(to.state, to.get_state_display().partition(":")[0]))

    @admin.display(description="Next", ordering="next_due_at")
    def when(self, row: Export) -> str:
        if not row.is_active:
            return "off"
        if row.next_due_at is None:
            return "when somebody presses Run now"
        local = showing.moment(row.next_due_at, showing.zone_of(row.zone))
        return format_html('{}<small class="m-why">{}</small>', local, row.zone)

    @admin.display(description="Last run")
    def last_run(self, row: Any) -> str:
        run = row.newest_run
        if run is None:
            return "never"
        link = reverse("admin:exports_run_overview", args=[run.pk])
        badge = showing.state_badge(run.state, run.get_state_display())
        when = showing.moment(run.due_at, showing.zone_of(row.zone))
        return format_html('<a href="{}">{}</a><small class="m-why">{}</small>', link, badge, when)
