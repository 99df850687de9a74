"""The page of pixels: list, form, overview, and what deleting one means."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from audience.admin import charts
from audience.admin.base import TenantForm, TenantTabularInline, taken_seat
from audience.admin.fields import LifetimeField, in_words
from audience.admin.pages import ObjectPage, PagedAdmin, RemovableAdmin, Tab, Use
from audience.models import Role
from pixels.admin import tag_pages
from pixels.admin.live import PIXEL_PAGES
from pixels.health import Health, healths, outcomes_by_hour
from pixels.models import Pixel, PixelAction, SeenPage
from pixels.reasons import Outcome

CHART_HOURS = 48
PAGES_SHOWN = 50
_NOT_FOR_DIRECT = {"tag", "test", "change"}


def midnight(request: HttpRequest, now: datetime) -> datetime:
    """Return when the advertiser's day began."""
    local = now.astimezone(ZoneInfo(taken_seat(request).advertiser.time_zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def overview(page_admin: PagedAdmin, request: HttpRequest, pixel: Pixel) -> HttpResponse:
    """Show how the pixel is doing, what a fire of it does, and where it stands."""
    now = timezone.now()
    health = healths([pixel], now, midnight(request, now))[pixel.pk]
    pages = SeenPage.objects.filter(pixel=pixel).order_by("-last_at")[:PAGES_SHOWN]
    actions = pixel.actions.filter(segment__deleted_at=None).select_related("segment").order_by("do", "pk")
    return page_admin.render_page(
        request,
        pixel,
        "pixels/admin/overview.html",
        "overview",
        pixel=pixel,
        health=health,
        actions=[{"row": row, "lifetime": _lifetime(row)} for row in actions],
        outcomes=[(outcome, health.today.get(outcome, 0)) for outcome in Outcome],
        chart=_hours_chart(pixel, now, request),
        pages=pages,
        hosts=_hosts(pages),
    )


def _lifetime(action: PixelAction) -> str:
    return in_words(action.lifetime_minutes or action.segment.lifetime_minutes)


def _hours_chart(pixel: Pixel, now: datetime, request: HttpRequest) -> str:
    zone = ZoneInfo(taken_seat(request).advertiser.time_zone)
    hours = outcomes_by_hour([pixel], now, CHART_HOURS)
    labels = [f"{hour.astimezone(zone):%-d %b %H:%M}" for hour, _ in hours]
    series = [
        charts.Series(outcome.value, outcome.value, [outcomes.get(outcome, 0) for _, outcomes in hours])
        for outcome in Outcome
    ]
    return charts.column_chart(labels, [one for one in series if any(one.values)] or series[:1])


def _hosts(pages: Any) -> list[tuple[str, int, int]]:
    hosts: dict[str, tuple[int, int]] = {}
    for page in pages:
        fires, refused = hosts.get(page.host, (0, 0))
        hosts[page.host] = (fires + page.fires, refused + page.refused)
    return sorted(((host, *counts) for host, counts in hosts.items()), key=lambda row: -row[1])


class PixelActionForm(TenantForm):
    """One action; its time in minutes, hours or days."""

    lifetime_minutes = LifetimeField(
        label="Keep members for",
        required=False,
        validators=PixelAction._meta.get_field("lifetime_minutes").validators,
        help_text="Empty: as the segment says.",
    )


class PixelActionInline(TenantTabularInline):
    """What a fire adds and removes."""

    model = PixelAction
    form = PixelActionForm
    fields = ("do", "segment", "value", "lifetime_minutes")
    autocomplete_fields = ("segment",)
    role_to_view = Role.MANAGER
    verbose_name_plural = "What a fire does"
    max_num = 100

    def get_queryset(self, request: HttpRequest) -> QuerySet[PixelAction]:
        rows: QuerySet[PixelAction] = super().get_queryset(request)
        return rows.filter(segment__deleted_at=None).select_related("segment")

    def get_extra(self, request: HttpRequest, obj: Any = None, **_: Any) -> int:
        return 1 if obj is None else 0


@admin.register(Pixel)
class PixelAdmin(RemovableAdmin):
    """Placed tags: what their fires do, and how they are doing."""

    role_to_view = Role.MANAGER
    pages = (ObjectPage("overview", "Overview", overview, Role.MANAGER), tag_pages.TAG_PAGE, *PIXEL_PAGES)
    deleting_means = (
        "Its fires change nothing any more. They are counted as refused for 90 days, with their pages, so that "
        "you find the tags that are still placed. Members stay in their segments until their time is over."
    )
    empty_list_text = "A pixel is a tag on a page. Each fire of it puts the visitor into your segments."
    list_display = ("name_and_key", "health_now", "fires_today", "last_fired", "what_it_does")
    list_display_links = None
    list_filter = (("state", ChoicesDropdownFilter),)
    search_fields = ("name", "public_key")
    search_help_text = "Search by name or key"
    inlines = (PixelActionInline,)
    fields = ("name", "state", "event_name", "value_source", "may_tags_set_lifetime")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.tag_of_segments)
        return [path("segments/tag/", view, name="pixels_pixel_segments_tag"), *super().get_urls()]

    def tag_of_segments(self, request: HttpRequest) -> HttpResponse:
        return tag_pages.tag_of_segments(self, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pixel]:
        return super().get_queryset(request).prefetch_related("actions__segment")

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        now = timezone.now()
        known = healths(rows, now, midnight(request, now)) if rows else {}
        for row in rows:
            row.health = known[row.pk]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_direct)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_direct)

    def tabs(self, request: HttpRequest, row: Any, active: str) -> list[Tab]:
        tabs = super().tabs(request, row, active)
        hidden = {self.url_of(row, page) for page in _NOT_FOR_DIRECT} if row.is_direct else set()
        return [tab for tab in tabs if tab.link not in hidden]

    @admin.display(description="Pixel", ordering="name")
    def name_and_key(self, row: Any) -> str:
        link = self.url_of(row, "overview")
        small = "fires without a pixel of their own" if row.is_direct else row.public_key
        return format_html('<a class="m-name" href="{}">{}<small>{}</small></a>', link, row.name, small)

    @admin.display(description="State")
    def health_now(self, row: Any) -> str:
        state = row.health.state
        tone = state.name.lower()
        return format_html(
            '<span class="m-state m-state--{}" title="{}">{}</span>', tone, state.sentence, state.label
        )

    @admin.display(description="Fires today")
    def fires_today(self, row: Any) -> str:
        health: Health = row.health
        refused = health.today.get(Outcome.REJECTED, 0)
        if not refused:
            return f"{health.fires_today:,}"
        return format_html("{} <small>{} refused</small>", f"{health.fires_today:,}", f"{refused:,}")

    @admin.display(description="Last fired")
    def last_fired(self, row: Any) -> str:
        at = row.health.last_at
        if at is None:
            return "never"
        return format_html('<time datetime="{}" data-ago>{}</time>', at.isoformat(), f"{at:%-d %b %H:%M}")

    @admin.display(description="A fire")
    def what_it_does(self, row: Any) -> str:
        actions = [action for action in row.actions.all() if action.segment.deleted_at is None]
        shown = [f"records “{row.event_name}”"] if row.event_name else []
        shown += [f"{'adds to' if one.do == one.Do.ADD else 'removes from'} {one.segment.name}" for one in actions]
        more = [f"and {len(shown) - 2} more"] if len(shown) > 2 else []
        return ", ".join([*shown[:2], *more]) or ("" if row.is_direct else "does nothing yet")

    def response_add(self, request: HttpRequest, obj: Pixel, post_url_continue: Any = None) -> Any:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, f"The pixel “{obj}” is ready. Here is its tag.", "success")
        return HttpResponseRedirect(self.url_of(obj, "tag"))

    def response_change(self, request: HttpRequest, obj: Pixel) -> Any:
        if "_popup" in request.POST or "_continue" in request.POST:
            return super().response_change(request, obj)
        self.message_user(request, f"The pixel “{obj}” is saved. Its next fire does what you see here.", "success")
        return HttpResponseRedirect(self.url_of(obj, "overview"))

    def what_depends(self, request: HttpRequest, row: Pixel) -> Iterator[Use]:
        now = timezone.now()
        health = healths([row], now, now - timedelta(days=1))[row.pk]
        if health.fires_today:
            yield Use("Fires", f"{health.fires_today:,}", "in the last 24 hours")
        for action in row.actions.filter(segment__deleted_at=None).select_related("segment"):
            does = "it adds to this segment" if action.do == action.Do.ADD else "it removes from this segment"
            yield Use("Segment", action.segment.name, does)
        for page in SeenPage.objects.filter(pixel=row).order_by("-last_at")[:10]:
            yield Use("Page", f"{page.host}{page.path}", "seen there")
