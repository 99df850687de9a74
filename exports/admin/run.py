"""The pages of runs: the list, and one run as it goes, with its buttons and its files to download."""

from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from audience.admin.base import TenantRelatedFilter, taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin
from audience.models import Role
from audience.teams import NOT_FOUND
from exports import downloads, runs
from exports.admin import showing
from exports.models import Run, RunFile, RunTry
from exports.progress import progress_of
from exports.reasons import Refused, sentence
from exports.sending import are_kept, files_of

# Where a try ended, in a word or two.
_STEP_NAMES = {
    "": "the end",
    "name": "finding the host",
    "address": "checking the address",
    "port": "reaching the port",
    "ssh": "agreeing on SSH",
    "host_key": "the host key",
    "login": "the log-in",
    "folder": "the folder",
    "upload": "the upload",
}


def overview(page_admin: PagedAdmin, request: HttpRequest, run: Run) -> HttpResponse:
    """Show a run; `?part=live` gives what changes while it goes, for the page's script."""
    context = {
        "run": run,
        "progress": _progress(run),
        "tone": showing.tone_of(run.state),
        "funnel": showing.funnel_of(run),
        "files": _files(run),
        "kept_until": _kept_until(run),
        "tries": [_try_line(one) for one in RunTry.objects.filter(run=run)],
        "has_kept_files": not run.is_open and runs.has_kept_files(run),
        "may_act": taken_seat(request).is_at_least(Role.MANAGER),
        "may_download": taken_seat(request).may_see_people,
        "page_admin": page_admin,
        "links": {page: page_admin.url_of(run, page.replace("_", "-")) for page in _LINKS},
        "now": timezone.now(),
    }
    if request.GET.get("part") == "live":
        return TemplateResponse(request, "admin/exports/run_live.html", context)
    title = f"{run.export} · {run}"
    return page_admin.render_page(request, run, "admin/exports/run.html", "overview", **context | {"title": title})


_LINKS = ("overview", "cancel", "send_again", "run_again", "download")


def _progress(run: Run) -> dict[str, Any]:
    shown = progress_of(run)
    return {
        "shown": shown,
        "percent": None if shown.share is None else round(shown.share * 100),
        "sent": showing.in_bytes(shown.bytes_sent),
        "packed": showing.in_bytes(shown.bytes_packed),
        "rate": f"{showing.in_bytes(shown.bytes_per_second)} a second" if shown.bytes_per_second else "",
        "row_rate": f"{shown.rows_per_second:,.0f} rows a second" if shown.rows_per_second else "",
        "left": "not known yet" if shown.seconds_left is None else showing.in_time(shown.seconds_left),
    }


def _files(run: Run) -> list[dict[str, Any]]:
    return [
        {"row": file, "size": showing.in_bytes(file.bytes), "is_kept": are_kept([file])} for file in files_of(run)
    ]


def _kept_until(run: Run) -> datetime | None:
    return run.ended_at and run.ended_at + timedelta(days=run.export.keep_days)


def _try_line(one: RunTry) -> dict[str, Any]:
    return {
        "row": one,
        "step": _STEP_NAMES.get(one.step, one.step),
        "took": showing.span(one.started_at, one.ended_at),
        "sentence": sentence(one.reason, one.facts) if one.reason else "",
        "sent": showing.in_bytes(one.bytes_sent),
    }


def cancel(page_admin: PagedAdmin, request: HttpRequest, run: Run) -> HttpResponse:
    """Ask the worker to stop and take back what it began."""

    def act() -> Run:
        runs.cancel_run(run, cancelled_by=showing.person_at(request))
        return run

    return _act(page_admin, request, run, act, "Cancelled.", "The run is being cancelled.")


def send_again(page_admin: PagedAdmin, request: HttpRequest, run: Run) -> HttpResponse:
    """Send the same bytes once more, as a new run."""

    def act() -> Run:
        return runs.send_again(run, started_by=showing.person_at(request))

    return _act(page_admin, request, run, act, "Sent again.", "The same files are sent once more.")


def run_again(page_admin: PagedAdmin, request: HttpRequest, run: Run) -> HttpResponse:
    """Take a new snapshot for the same due time and names, as a new run."""

    def act() -> Run:
        return runs.run_again(run, started_by=showing.person_at(request))

    return _act(page_admin, request, run, act, "Run again.", "The run begins anew, with the members of now.")


def _act(page_admin: PagedAdmin, request: HttpRequest, run: Run, act: Any, record: str, told: str) -> HttpResponse:
    """Do what a button asks, write down who asked, and go to the run that follows from it."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        followed = act()
    except Refused as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(page_admin.url_of(run, "overview"))
    page_admin.log_change(request, run, record)
    messages.success(request, told)
    return HttpResponseRedirect(page_admin.url_of(followed, "overview"))


def download(page_admin: PagedAdmin, request: HttpRequest, run: Run) -> HttpResponse:
    """Answer with a kept file, for somebody who may see people; write down who took which."""
    if not taken_seat(request).may_see_people:
        raise PermissionDenied("You may not download files with people in them.")
    file = _wanted_file(request, run)
    if not are_kept([file]):
        messages.error(request, "This file is no longer kept here. Run the export again.")
        return HttpResponseRedirect(page_admin.url_of(run, "overview"))
    page_admin.log_change(request, run, f"Downloaded {file}, {file.rows:,} rows.")
    answer = StreamingHttpResponse(downloads.content_of(run, file), content_type="application/octet-stream")
    answer["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(str(file))}"
    answer["Cache-Control"] = "no-store, private"
    return cast("HttpResponse", answer)


def _wanted_file(request: HttpRequest, run: Run) -> RunFile:
    wanted = request.GET.get("file", "")
    file = next((one for one in files_of(run) if str(one.position) == wanted), None)
    if file is None:
        raise Http404(NOT_FOUND)
    return file


@admin.register(Run)
class RunAdmin(PagedAdmin):
    """What each attempt of an export did."""

    role_to_view = Role.VIEWER
    role_to_add = role_to_change = role_to_delete = None
    form_tab = ""
    pages = (
        ObjectPage("overview", "Run", overview),
        ObjectPage("cancel", "Cancel", cancel, Role.MANAGER, is_tab=False),
        ObjectPage("send-again", "Send again", send_again, Role.MANAGER, is_tab=False),
        ObjectPage("run-again", "Run again", run_again, Role.MANAGER, is_tab=False),
        ObjectPage("download", "Download", download, is_tab=False),
    )
    empty_list_text = "A run appears here when an export's time has come, or when somebody presses Run now."
    list_display = ("export_and_number", "state_now", "due", "rows", "size", "started_by_whom")
    list_display_links = None
    list_filter = (("state", ChoicesDropdownFilter), ("export", TenantRelatedFilter))
    search_fields = ("export__name", "destination__name")
    search_help_text = "Search by export or destination"
    ordering = ("-due_at", "-id")
    sortable_by = ("due",)

    class Media:
        css = {"all": ["muster/exports.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).select_related("export", "destination")

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """There is no form: the overview is the page."""
        return self._view(self.pages[0])(request, object_id)

    @admin.display(description="Run")
    def export_and_number(self, row: Run) -> str:
        link = self.url_of(row, "overview")
        small = f"{row} to {row.destination}"
        return format_html('<a class="m-name" href="{}">{}<small>{}</small></a>', link, row.export, small)

    @admin.display(description="State")
    def state_now(self, row: Run) -> str:
        badge = showing.state_badge(row.state, row.get_state_display())
        return format_html('{}<small class="m-why">{}</small>', badge, row.error) if row.error else badge

    @admin.display(description="Due", ordering="due_at")
    def due(self, row: Run) -> str:
        return showing.moment(row.due_at, showing.zone_of(row.export.zone))

    @admin.display(description="Rows")
    def rows(self, row: Run) -> str:
        return f"{row.rows_written:,}" if row.as_of else ""

    @admin.display(description="Size")
    def size(self, row: Run) -> str:
        return showing.in_bytes(row.bytes_packed) if row.bytes_packed else ""

    @admin.display(description="Started by")
    def started_by_whom(self, row: Run) -> str:
        by_itself = row.cause == Run.Cause.TIMETABLE
        return "the timetable" if by_itself else row.started_by or row.get_cause_display()
