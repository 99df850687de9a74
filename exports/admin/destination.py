"""The pages of destinations: list, form, overview with the last test, pause and resume, and what deleting means."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from audience.admin.base import taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin, RemovableAdmin, Use
from audience.models import Role
from audience.teams import seat_at
from exports import readiness
from exports.admin import showing
from exports.admin.connection import fetch_key, test_connection, test_saved
from exports.admin.destination_form import SECRETS, DestinationForm
from exports.destination_editing import make_login_key, save_destination
from exports.destinations import host_keys
from exports.destinations.connection import STEPS
from exports.models import Destination, DestinationSecret, Export, HostKey, Run
from exports.reasons import Refused

_hiding_secrets = sensitive_post_parameters(*(kind.value for kind in SECRETS))
State = Destination.State


def overview(page_admin: PagedAdmin, request: HttpRequest, row: Destination) -> HttpResponse:
    """Show where files go, whether that works, and who sends there."""
    steps = steps_of(row)
    return page_admin.render_page(
        request,
        row,
        "admin/exports/destination.html",
        "overview",
        destination=row,
        tone=showing.tone_of(row.state),
        paused_because=showing.paused_because(row),
        is_paused_by_person=row.paused_reason == readiness.BY_A_PERSON,
        steps=steps,
        has_failed=any(step.get("outcome") == "failed" for step in steps),
        keys=host_keys.pinned_keys(row),
        old_keys=HostKey.objects.filter(destination=row, removed_at__isnull=False).order_by("-removed_at"),
        secrets=DestinationSecret.objects.filter(destination=row).defer("sealed"),
        exports=Export.objects.filter(destination=row),
        links={page: page_admin.url_of(row, page) for page in ("test", "pause", "resume", "change")},
    )


def steps_of(row: Destination) -> list[dict[str, Any]]:
    """Return the steps of the last test, those that can be read."""
    steps = [step for step in row.test_steps if isinstance(step, dict) and step.get("step") in STEPS]
    return [step | {"label": STEPS[step["step"]]} for step in steps]


def pause(page_admin: PagedAdmin, request: HttpRequest, row: Destination) -> HttpResponse:
    """Take no runs from now on."""
    told = f"“{row}” is paused. Runs that are due are skipped, and caught up after Resume."
    return _act(page_admin, request, row, partial(readiness.pause_by_person, row), "Paused.", told)


def resume(page_admin: PagedAdmin, request: HttpRequest, row: Destination) -> HttpResponse:
    """Take runs again."""
    told = f"“{row}” takes runs again."
    return _act(page_admin, request, row, partial(readiness.enable, row), "Resumed.", told)


def _act(
    page_admin: PagedAdmin, request: HttpRequest, row: Destination, act: Any, record: str, told: str
) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        act()
    except Refused as error:
        messages.error(request, str(error))
    else:
        page_admin.log_change(request, row, record)
        messages.success(request, told)
    return HttpResponseRedirect(page_admin.url_of(row, "overview"))


@admin.register(Destination)
class DestinationAdmin(RemovableAdmin):
    """Where files go."""

    role_to_view = Role.MANAGER
    form = DestinationForm
    change_form_template = "admin/exports/destination_form.html"
    pages = (
        ObjectPage("overview", "Overview", overview, Role.MANAGER),
        ObjectPage("test", "Test", test_saved, Role.MANAGER, is_tab=False),
        ObjectPage("try", "Try", method_decorator(_hiding_secrets)(test_connection), Role.MANAGER, is_tab=False),
        ObjectPage("fetch-key", "Fetch key", fetch_key, Role.MANAGER, is_tab=False),
        ObjectPage("pause", "Pause", pause, Role.MANAGER, is_tab=False),
        ObjectPage("resume", "Resume", resume, Role.MANAGER, is_tab=False),
    )
    deleting_means = (
        "Its stored password or key and its confirmed host keys are removed with it. Files at the receiver stay."
    )
    empty_list_text = "A destination is where files go: a folder on your own server, or a receiver's SFTP server."
    list_display = ("name_and_address", "kind_name", "state_now", "last_test", "exports_here")
    list_display_links = None
    list_filter = (("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    search_fields = ("name", "host")
    search_help_text = "Search by name or host"
    fieldsets = (
        (None, {"fields": ("name", "kind", "receiver")}),
        ("Where the files go", {"fields": ("root", "host", "port", "username", "path")}),
        ("Log in", {"fields": ("login", "password", "makes_key", "private_key", "passphrase")}),
        ("More", {"fields": ("max_connections", "is_read_back"), "classes": ["collapse"]}),
    )

    class Media:
        css = {"all": ["muster/exports.css"]}

    def get_urls(self) -> list[URLPattern]:
        views = {"fetch-key": fetch_key, "try": method_decorator(_hiding_secrets)(test_connection)}
        unsaved = [
            path(f"add/{name}/", self.admin_site.admin_view(self._of_new(view)), name=self._url_name(f"add_{name}"))
            for name, view in views.items()
        ]
        return [*unsaved, *super().get_urls()]

    def _of_new(self, view: Any) -> Any:
        def page(request: HttpRequest) -> HttpResponse:
            if not self.has_add_permission(request):
                raise PermissionDenied
            answer: HttpResponse = view(self, request, None)
            return answer

        return page

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        # Deleted for good, not marked: there is nothing of it that a later fire or run could name.
        rows: QuerySet[Destination] = super(RemovableAdmin, self).get_queryset(request)
        return rows

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        counted = (
            Export.objects.filter(destination__in=rows).order_by().values_list("destination").annotate(Count("pk"))
        )
        counts = dict(counted)
        for row in rows:
            row.export_count = counts.get(row.pk, 0)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        seat = seat_at(request)
        made = super().get_form(request, obj, change, **kwargs)
        return type(made.__name__, (made,), {"is_owner": seat is not None and seat.is_at_least(Role.OWNER)})

    @method_decorator(_hiding_secrets)
    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        row = self.get_object(request, object_id) if object_id else None
        fetch, test = (self._link_of_form(row, name) for name in ("fetch-key", "try"))
        context = {
            "fetch_link": fetch,
            "test_link": test,
            "pinned": host_keys.pinned_keys(row) if row else [],
            "is_owner": taken_seat(request).is_at_least(Role.OWNER),
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def _link_of_form(self, row: Destination | None, name: str) -> str:
        return self.url_of(row, name) if row else reverse(f"admin:{self._url_name(f'add_{name}')}")

    def save_model(self, request: HttpRequest, obj: Destination, form: DestinationForm, change: bool) -> None:
        who = showing.person_at(request)
        save_destination(obj, secrets=form.secrets(), saved_by=who)
        if form.cleaned_data.get("makes_key"):
            make_login_key(obj, made_by=who)
        if form.confirmation is not None:
            key, how = form.confirmation
            host_keys.confirm(obj, key, how=how, confirmed_by=who)
            self.log_change(request, obj, f"Confirmed the host key {key.fingerprint}. {how.label}.")
            readiness.take_over_test(obj)

    def response_add(self, request: HttpRequest, obj: Destination, post_url_continue: Any = None) -> Any:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return self._saved(request, obj)

    def response_change(self, request: HttpRequest, obj: Destination) -> Any:
        if "_popup" in request.POST or "_continue" in request.POST:
            return super().response_change(request, obj)
        return self._saved(request, obj)

    def _saved(self, request: HttpRequest, obj: Destination) -> HttpResponse:
        if obj.state == State.READY:
            self.message_user(request, f"The destination “{obj}” is saved and ready.", "success")
        else:
            self.message_user(request, f"The destination “{obj}” is saved. {self._next_step(obj)}", "warning")
        return HttpResponseRedirect(self.url_of(obj, "overview"))

    def _next_step(self, obj: Destination) -> str:
        if obj.state == State.PAUSED:
            return "It is paused."
        if obj.kind == Destination.Kind.SFTP and not host_keys.pinned_keys(obj):
            return "It takes runs once an owner has confirmed its host key and every step of a test has passed."
        return "It takes runs once every step of a test has passed."

    def why_not(self, request: HttpRequest, row: Destination) -> str:
        names = list(Export.objects.filter(destination=row).values_list("name", flat=True))
        if names:
            shown = ", ".join(f"“{name}”" for name in names[:5]) + (" and more" if len(names) > 5 else "")
            return f"Exports send here: {shown}. Choose another destination for them first."
        count = Run.objects.filter(destination=row).count()
        if count:
            return f"The record of what was sent names it in {count:,} runs, so it stays. Pause it instead."
        return ""

    def what_depends(self, request: HttpRequest, row: Destination) -> Iterable[Use]:
        for key in host_keys.pinned_keys(row):
            yield Use("Host key", key.fingerprint, f"confirmed by {key.confirmed_by}")
        for secret in DestinationSecret.objects.filter(destination=row):
            yield Use("Secret", str(secret))

    def delete_model(self, request: HttpRequest, obj: Destination) -> None:
        obj.delete()

    @admin.display(description="Destination", ordering="name")
    def name_and_address(self, row: Destination) -> str:
        link = self.url_of(row, "overview")
        return format_html('<a class="m-name" href="{}">{}<small>{}</small></a>', link, row.name, row.address)

    @admin.display(description="Kind", ordering="kind")
    def kind_name(self, row: Destination) -> str:
        return f"{row.get_kind_display()}, {row.get_receiver_display().lower()}"

    @admin.display(description="State", ordering="state")
    def state_now(self, row: Destination) -> str:
        badge = showing.state_badge(row.state, row.get_state_display())
        reason = showing.paused_because(row)
        return format_html('{}<small class="m-why">{}</small>', badge, reason) if reason else badge

    @admin.display(description="Last test", ordering="tested_at")
    def last_test(self, row: Destination) -> str:
        if row.tested_at is None:
            return "never"
        failed = next((step["label"] for step in steps_of(row) if step.get("outcome") == "failed"), "")
        when = f"{timezone.localtime(row.tested_at):%-d %b %H:%M}"
        ago = format_html('<time datetime="{}" data-ago>{}</time>', row.tested_at.isoformat(), when)
        return format_html('{}<small class="m-why">Failed at: {}</small>', ago, failed) if failed else ago

    @admin.display(description="Exports")
    def exports_here(self, row: Any) -> str:
        return f"{row.export_count:,}" if row.export_count else "none yet"
