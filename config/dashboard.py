"""What the first page of the admin tells: how the pixels, segments and exports of an advertiser are doing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from audience.admin import charts
from audience.models import Role
from audience.teams import Seat, seat_at
from exports.models import Export, Run
from pixels.health import Health, State, healths, outcomes_by_hour
from pixels.models import Pixel
from pixels.reasons import Outcome
from segments import counts
from segments.admin.trends import trends
from segments.models import Segment

TREND_DAYS = 30
CHART_HOURS = 24
SEGMENTS_SHOWN = 8
# More are not sorted by size: their numbers would have to be read for this one page.
SEGMENTS_SORTED = 200
ROWS_SHOWN = 5
FAILED_SINCE = timedelta(days=7)


@dataclass(frozen=True)
class SegmentLine:
    segment: Segment
    size: int
    spark: str


@dataclass(frozen=True)
class PixelLine:
    pixel: Pixel
    health: Health


@dataclass(frozen=True)
class RunLine:
    """A run or an export with the page that tells more, where there is one."""

    row: Any
    link: str


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the dashboard's context for this request."""
    seat = seat_at(request)
    context["title"] = "Dashboard"
    if seat is None:
        return context
    now = timezone.now()
    has_segments = Segment.objects.filter(deleted_at=None).exists()
    context |= {"is_empty": not has_segments, "may_make_segments": seat.is_at_least(Role.ANALYST)}
    if not seat.advertiser.domains and seat.is_at_least(Role.OWNER):
        context["lacks_domains"] = reverse("admin:audience_advertiser_change", args=[seat.advertiser.pk])
    if has_segments:
        context |= {"segments": segment_lines(seat, now), **exports(request, now)}
    if has_segments and seat.is_at_least(Role.MANAGER):
        context |= fires(seat, now)
    return context


def segment_lines(seat: Seat, now: datetime) -> list[SegmentLine]:
    """Return the largest segments with their sizes and how they grew."""
    segments = list(Segment.objects.filter(deleted_at=None).order_by("-created_at")[:SEGMENTS_SORTED])
    sizes = counts.sizes(segments, now)
    largest = sorted(segments, key=lambda one: (-sizes[one.pk], one.name))[:SEGMENTS_SHOWN]
    lines = trends(largest, sizes, now.astimezone(ZoneInfo(seat.advertiser.time_zone)).date(), TREND_DAYS)
    return [
        SegmentLine(one, sizes[one.pk], charts.sparkline(lines[one.pk], f"{one.name}: the last 30 days"))
        for one in largest
    ]


def fires(seat: Seat, now: datetime) -> dict[str, Any]:
    """Return today's fires by outcome, the last hours as a chart, and pixels that somebody should look after."""
    zone = ZoneInfo(seat.advertiser.time_zone)
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    pixels = list(Pixel.objects.filter(deleted_at=None))
    known = healths(pixels, now, midnight)
    today: Counter[str] = Counter()
    for health in known.values():
        today.update(health.today)
    lines = [PixelLine(pixel, known[pixel.pk]) for pixel in pixels]
    return {
        "has_fired": any(line.health.last_at for line in lines),
        "fires_today": [(outcome, today[outcome]) for outcome in Outcome],
        "fires_chart": _chart(outcomes_by_hour(pixels, now, CHART_HOURS), zone),
        "troubled": [line for line in lines if _is_troubled(line.health)][:ROWS_SHOWN],
    }


def _is_troubled(health: Health) -> bool:
    return health.has_lost_its_habit or health.state is State.REFUSING


def _chart(hours: list[tuple[datetime, dict[str, int]]], zone: ZoneInfo) -> str:
    labels = [f"{hour.astimezone(zone):%-d %b %H:%M}" for hour, _ in hours]
    series = [
        charts.Series(outcome.value, outcome.value, [fires.get(outcome, 0) for _, fires in hours])
        for outcome in Outcome
    ]
    return charts.column_chart(labels, [one for one in series if any(one.values)] or series[:1])


def exports(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """Return the exports that are due next and the runs that failed lately."""
    due = Export.objects.filter(is_active=True, next_due_at__isnull=False).order_by("next_due_at")
    failed = Run.objects.filter(state=Run.State.FAILED, created_at__gt=now - FAILED_SINCE).select_related("export")
    return {
        "exports_due": [RunLine(export, _link(request, export)) for export in due[:ROWS_SHOWN]],
        "runs_failed": [RunLine(run, _link(request, run)) for run in failed.order_by("-created_at")[:ROWS_SHOWN]],
    }


def _link(request: HttpRequest, row: Model) -> str:
    """Return the row's page, or nothing where this role may not open it."""
    if not admin.site.get_model_admin(type(row)).has_view_permission(request, row):
        return ""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_overview", args=[row.pk])
