"""Reports › Segment loads: the report as charts and tables, for one segment or all, and as a file."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from audience.admin import charts
from audience.admin.base import TenantAdmin, taken_seat
from audience.models import Advertiser
from audience.teams import NOT_FOUND
from segments import reports
from segments.models import Segment

ROWS_A_PAGE = 400
SEGMENTS_SHOWN = 50
# More months are folded up.
MONTHS_SHOWN = 24
_TITLES = {"today": "Today", "yesterday": "Yesterday", "week": "Last 7 days", "month": "Month to date"}


@dataclass(frozen=True)
class DaySums:
    """One day over all segments of the report."""

    label: str
    sums: reports.Sums
    active: int


@dataclass(frozen=True)
class SegmentSums:
    segment: Segment
    sums: reports.Sums
    active: int


class Asked:
    """What the address asks for: a segment or all, and a period by its name or by its days."""

    def __init__(self, request: HttpRequest, segments: QuerySet[Segment]) -> None:
        self.advertiser: Advertiser = taken_seat(request).advertiser
        self.now = timezone.now()
        self.today = reports.today_of(self.advertiser, self.now)
        self.segments = list(segments.order_by("name", "pk"))
        self.segment = self._chosen(request.GET.get("segment", ""))
        self.first, self.last = request.GET.get("from", ""), request.GET.get("to", "")
        name = request.GET.get("period", "")
        is_own = bool(self.first or self.last) and name not in _TITLES
        self.name = "" if is_own else (name if name in _TITLES else "week")
        if self.name:
            period = reports.named_periods(self.today)[self.name]
            self.first, self.last = period.first.isoformat(), period.last.isoformat()

    def _chosen(self, number: str) -> Segment | None:
        if not number:
            return None
        chosen = next((one for one in self.segments if str(one.pk) == number), None)
        if chosen is None:
            raise Http404(NOT_FOUND)
        return chosen

    def report(self) -> reports.Report:
        period = reports.own_period(self.first, self.last, self.today)
        segments = [self.segment] if self.segment else self.segments
        return reports.segment_loads(self.advertiser, segments, period, self.now)

    def link(self, **more: str) -> str:
        """Return an address of this page about the same segment; without more, about the same days, too."""
        chosen = {"segment": str(self.segment.pk)} if self.segment else {}
        days = {"period": self.name} if self.name else {"from": self.first, "to": self.last}
        return "?" + urlencode(chosen | ({} if "period" in more else days) | more)


def loads(page_admin: TenantAdmin, request: HttpRequest) -> HttpResponse:
    """Show the report, or give it as a file with `?as=csv`."""
    if not page_admin.has_view_permission(request):
        raise PermissionDenied
    asked = Asked(request, page_admin.get_queryset(request))
    try:
        report = asked.report()
    except reports.NoReport as error:
        return _page(page_admin, request, asked, 400, error=str(error))
    if request.GET.get("as") == "csv":
        return _file(report)
    return _page(page_admin, request, asked, 200, **_context(report, asked, request.GET.get("p", "1")))


def _file(report: reports.Report) -> HttpResponse:
    """Return the file with a mark of its encoding, by which spreadsheets read names right."""
    disposition = f'attachment; filename="{reports.file_name(report)}"'
    content = reports.as_csv(report).encode("utf-8-sig")
    return HttpResponse(content, "text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def _page(
    page_admin: TenantAdmin, request: HttpRequest, asked: Asked, status: int, **context: Any
) -> TemplateResponse:
    request.current_app = page_admin.admin_site.name
    periods = [(title, asked.link(period=name), name == asked.name) for name, title in _TITLES.items()]
    frame = {
        **page_admin.admin_site.each_context(request),
        "media": page_admin.media,
        "title": "Segment loads",
        "asked": asked,
        "periods": periods,
        "most_days": reports.MOST_DAYS,
    }
    return TemplateResponse(request, "admin/segments/loads.html", {**frame, **context}, status=status)


def _context(report: reports.Report, asked: Asked, page: str) -> dict[str, Any]:
    days = _by_day(report)
    by_segment = _by_segment(report) if asked.segment is None else []
    return {
        "report": report,
        "sums": reports.sums(report.rows),
        "active": days[-1].active,
        "uniques_a_day": round(sum(day.sums.daily_uniques for day in days) / len(days)),
        "is_to_today": report.period.last == asked.today,
        "loads_chart": _loads_chart(days),
        "moves_chart": _moves_chart(days),
        "active_chart": _active_chart(days),
        "by_segment": by_segment[:SEGMENTS_SHOWN],
        "segments_left_out": len(by_segment[SEGMENTS_SHOWN:]),
        "months": report.months[::-1],
        "are_months_folded": len(report.months) > MONTHS_SHOWN,
        "table": Paginator(_newest_first(report), ROWS_A_PAGE).get_page(page),
        "csv_link": asked.link(**{"as": "csv"}),
    }


def _newest_first(report: reports.Report) -> list[reports.LoadRow]:
    """Return the rows with the newest day first; within a day the segments keep their order."""
    return sorted(report.rows, key=lambda row: row.day, reverse=True)


def _by_day(report: reports.Report) -> list[DaySums]:
    has_years = report.period.first.year != report.period.last.year
    rows = defaultdict(list)
    for row in report.rows:
        rows[row.day].append(row)
    return [
        DaySums(
            f"{day:%-d %b %Y}" if has_years else f"{day:%-d %b}",
            reports.sums(rows[day]),
            sum(row.active for row in rows[day]),
        )
        for day in report.period
    ]


def _by_segment(report: reports.Report) -> list[SegmentSums]:
    """Return the segments of the report, the one with most loads first."""
    rows = defaultdict(list)
    for row in report.rows:
        rows[row.segment].append(row)
    found = [SegmentSums(segment, reports.sums(of_one), of_one[-1].active) for segment, of_one in rows.items()]
    return sorted(found, key=lambda one: (-one.sums.total_loads, one.segment.name))


def _loads_chart(days: list[DaySums]) -> str:
    """Return columns as high as the loads, of which the lower part are different people."""
    uniques = [day.sums.daily_uniques for day in days]
    again = [day.sums.total_loads - day.sums.daily_uniques for day in days]
    series = [charts.Series("daily uniques", "size", uniques), charts.Series("loaded again", "duplicate", again)]
    return charts.column_chart([day.label for day in days], series)


def _moves_chart(days: list[DaySums]) -> str:
    joins = charts.Series("joined", "join", [day.sums.joins for day in days])
    leaves = charts.Series("left", "leave", [day.sums.leaves for day in days])
    return charts.two_way_chart([day.label for day in days], joins, leaves)


def _active_chart(days: list[DaySums]) -> str:
    active = charts.Series("active", "size", [max(day.active, 0) for day in days])
    return charts.line_chart([day.label for day in days], active)
