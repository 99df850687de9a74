"""The page of segments: list, form, overview, and what deleting one means."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter

from audience.admin import charts
from audience.admin.base import taken_seat
from audience.admin.fields import HostLinesField, in_words
from audience.admin.pages import ObjectPage, RemovableAdmin, Use
from audience.models import HostListField, Role
from audience.teams import seat_at
from segments import counts
from segments.admin import neighbours, reports, rule_buttons, rule_form, rules, versions, why
from segments.admin.forms import SegmentForm, names_of_users
from segments.admin.overview import overview
from segments.admin.trends import trends
from segments.deletion import delete_segment
from segments.models import Segment

TREND_DAYS = 30


def has_rule(segment: Segment) -> bool:
    return segment.kind == Segment.Kind.RULE


@admin.register(Segment)
class SegmentAdmin(RemovableAdmin):
    """Named groups of people, filled by pixels or by a rule."""

    change_form_outer_before_template = "segments/admin/form_head.html"
    role_to_add = Role.ANALYST
    role_to_change = Role.ANALYST
    form = SegmentForm
    pages = (
        ObjectPage("overview", "Overview", overview),
        ObjectPage("versions", "Versions", versions.versions_page, has_it=has_rule),
        ObjectPage("why", "Why", why.why_page, is_tab=False),
        *(
            ObjectPage(name, "", view, Role.ANALYST, is_tab=False, has_it=has_rule)
            for name, view in rule_buttons.BUTTONS
        ),
    )
    deleting_means = (
        "Nobody is in it any more, and it can no longer be found here. Fires of tags that still name it are "
        "counted as refused for 90 days, so that you find those tags."
    )
    empty_list_text = "A segment is a named group of people, for example everybody who put something into the cart."
    list_display = ("name_and_code", "size_now", "trend", "kept_for", "writes", "is_on")
    list_display_links = None
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("is_active", BooleanRadioFilter),
        ("write_mode", ChoicesDropdownFilter),
    )
    search_fields = ("name", "code")
    search_help_text = "Search by name or code"
    prepopulated_fields = {"code": ("name",)}
    actions = ("get_tag",)
    formfield_overrides = {HostListField: {"form_class": HostLinesField}}
    inlines = neighbours.inlines

    def get_fieldsets(self, request: HttpRequest, obj: Segment | None = None) -> Any:
        seat = seat_at(request)
        first = ["name", "code", "lifetime_minutes"]
        is_popup = "_popup" in request.GET or "_popup" in request.POST  # opened from a pixel's form: there is one
        if obj is None and not is_popup and seat and seat.is_at_least(Role.MANAGER):
            first.append("is_pixel_wanted")
        elif obj is not None:
            first += ["is_active", "description"]
        folded = {"classes": ["collapse"]}
        return [
            (None, {"fields": first}),
            *([("Description", {"fields": ["description"], **folded})] if obj is None else []),
            ("Time", {"fields": ["longest_lifetime_minutes", "refire"], **folded}),
            ("Value", {"fields": ["value_from", "value_to", "re_add"], **folded}),
            (
                "Who may write",
                {"fields": ["write_mode", "domains", "are_domains_enforced", "removing"], **folded},
            ),
            ("Who may read", {"fields": ["is_readable_on_page"], **folded}),
            ("Partners", {"fields": ["id_syncs_per_fire"], **folded}),
        ]

    def all_pages(self) -> list[ObjectPage]:
        return [*self.pages, *neighbours.pages]

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("loads/", self.loads, "loads"),
            ("add/by-rule/", self.add_by_rule, "add_by_rule"),
            ("why/", self.why_of, "why_of"),
            ("try-a-rule/", self.try_rule, "try_rule"),
            ("try-a-rule/checks/", self.rule_checks, "rule_checks"),
            ("try-a-rule/numbers/", self.rule_numbers, "rule_numbers"),
        )
        own = [
            path(at, self.admin_site.admin_view(view), name=f"segments_segment_{name}") for at, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def loads(self, request: HttpRequest) -> HttpResponse:
        return reports.loads(self, request)

    def add_by_rule(self, request: HttpRequest) -> HttpResponse:
        return rule_form.add(self, request)

    def why_of(self, request: HttpRequest) -> HttpResponse:
        return why.why_of(self, request)

    def try_rule(self, request: HttpRequest) -> HttpResponse:
        return rules.try_rule(self, request)

    def rule_checks(self, request: HttpRequest) -> HttpResponse:
        return rules.rule_checks(self, request)

    def rule_numbers(self, request: HttpRequest) -> HttpResponse:
        return rules.rule_numbers(self, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        return super().get_queryset(request).select_related("advertiser")

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        now = timezone.now()
        sizes = counts.sizes(rows, now) if rows else {}
        today = now.astimezone(ZoneInfo(taken_seat(request).advertiser.time_zone)).date()
        lines = trends(rows, sizes, today, TREND_DAYS)
        works = versions.works_of(rows)
        for row in rows:
            row.size_now, row.trend, row.work = sizes.get(row.pk, 0), lines[row.pk], works.get(row.pk)

    @admin.display(description="Segment", ordering="name")
    def name_and_code(self, row: Any) -> str:
        link = self.url_of(row, "overview")
        return format_html('<a class="m-name" href="{}">{}<small>{}</small></a>', link, row.name, row.code)

    @admin.display(description="Members now")
    def size_now(self, row: Any) -> str:
        return f"{row.size_now:,}"

    @admin.display(description="Last 30 days")
    def trend(self, row: Any) -> str:
        return charts.sparkline(row.trend, f"{row.name}: members in the last 30 days")

    @admin.display(description="Kept for", ordering="lifetime_minutes")
    def kept_for(self, row: Any) -> str:
        return "while the rule holds" if has_rule(row) else in_words(row.lifetime_minutes)

    @admin.display(description="Who may write", ordering="write_mode")
    def writes(self, row: Any) -> str:
        if not has_rule(row):
            return str(row.get_write_mode_display()).partition(":")[0]
        if row.work is None:
            return "its rule"
        return format_html('its rule <span class="m-state m-state--{}">{}</span>', row.work.tone, row.work.label)

    @admin.display(description="Active", ordering="is_active", boolean=True)
    def is_on(self, row: Any) -> bool:
        return bool(row.is_active)

    @admin.action(description="Get tag", permissions=["tag"])
    def get_tag(self, request: HttpRequest, queryset: QuerySet[Segment]) -> HttpResponse | None:
        if by_rules := [f"“{segment}”" for segment in queryset if has_rule(segment)]:
            self.message_user(request, f"A rule fills {', '.join(by_rules)}: there is no tag to place.", "error")
            return None
        chosen = urlencode([("segment", segment.pk) for segment in queryset])
        return HttpResponseRedirect(f"{reverse('admin:pixels_pixel_segments_tag')}?{chosen}")

    def has_tag_permission(self, request: HttpRequest) -> bool:
        return self._is_allowed(request, Role.MANAGER, None)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        seat = seat_at(request)
        offers_tag = object_id is None and seat is not None and seat.is_at_least(Role.MANAGER)
        context = {"offers_tag": offers_tag, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        segment = self.get_object(request, unquote(object_id))
        if segment is not None and has_rule(segment):
            return rule_form.edit(self, request, segment)
        return super().change_view(request, object_id, form_url, extra_context)

    def response_add(self, request: HttpRequest, obj: Segment, post_url_continue: Any = None) -> Any:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"The segment “{obj}” is ready.", "success")
        wants_pixel = request.POST.get("is_pixel_wanted") and self.has_tag_permission(request)
        if wants_pixel:
            links = [link for _, link in neighbours.pixel_wanted.send(Segment, segment=obj) if link]
            if links and "_tag" in request.POST:
                return HttpResponseRedirect(links[0])
        return HttpResponseRedirect(self.url_of(obj, "overview"))

    def response_change(self, request: HttpRequest, obj: Segment) -> Any:
        if "_popup" in request.POST or "_continue" in request.POST:
            return super().response_change(request, obj)
        self.message_user(request, f"The segment “{obj}” is saved.", "success")
        return HttpResponseRedirect(self.url_of(obj, "overview"))

    def why_not(self, request: HttpRequest, row: Segment) -> str:
        names = names_of_users(row)
        return f"The rules of {names} ask for it. Change these first." if names else ""

    def delete_model(self, request: HttpRequest, obj: Segment) -> None:
        delete_segment(obj)

    def what_depends(self, request: HttpRequest, row: Segment) -> Iterator[Use]:
        size = counts.size(row, timezone.now())
        if size:
            yield Use("Members", f"{size:,}", "are in no longer")
        yield from rule_buttons.dependents(self, row)
