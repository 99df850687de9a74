"""`/reports`: what was counted, by day."""

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.access import Needs
from audience.api.views import ApiViewSet
from audience.models import Role
from segments import reports
from segments.models import CODE_PATTERN, Segment

_LOADS = {
    "time_zone": "Europe/Berlin",
    "as_of": "2026-11-22T10:15:02Z",
    "rows": [
        {
            "day": "2026-11-01",
            "segment": "cart",
            "total_loads": 5120,
            "daily_uniques": 2911,
            "joins": 804,
            "leaves": 12,
            "active": 40112,
        }
    ],
    "months": [],
}
_LONGEST_NUMBER = 18


class BadReport(errors.Refused):
    """A report that cannot be given as asked, whatever the state of things: 400."""

    status_code = 400  # type: ignore[assignment]  # the base's is a literal


class LoadRowSerializer(serializers.Serializer[Any]):
    """One day of one segment."""

    day = serializers.DateField(help_text="By the advertiser's clock.")
    segment = serializers.CharField(source="segment.code", help_text="The segment's code.")
    total_loads = serializers.IntegerField(help_text="How often somebody was added.")
    daily_uniques = serializers.IntegerField(help_text="How many different profiles were added.")
    joins = serializers.IntegerField()
    leaves = serializers.IntegerField()
    active = serializers.IntegerField(help_text="Members when the day ended; for today, so far.")


class MonthRowSerializer(serializers.Serializer[Any]):
    """One calendar month of one segment."""

    month = serializers.DateField(format="%Y-%m", help_text="Year and month.")
    segment = serializers.CharField(source="segment.code", help_text="The segment's code.")
    monthly_uniques = serializers.IntegerField(help_text="How many different profiles were added.")
    average_daily_uniques = serializers.FloatField(help_text="The mean over the month's days.")
    is_over = serializers.BooleanField(help_text="False: counted so far.")


class SegmentLoads(serializers.Serializer[Any]):
    """A row for each day and segment, those without loads included."""

    time_zone = serializers.CharField()
    as_of = serializers.DateTimeField()
    rows = LoadRowSerializer(many=True)
    months = MonthRowSerializer(many=True, help_text="The months that lie in the period from their first day on.")


def _parameter(name: str, description: str, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(name, description=description, **options)


# `split` (pixel, domain) has its place here.
_PARAMETERS = (
    _parameter("segment", "A code, or a number. Without it: all segments."),
    _parameter("from", "The first day; without both days, the last 7.", type=OpenApiTypes.DATE),
    _parameter("to", "The last day, at most 366 days in all and not after today.", type=OpenApiTypes.DATE),
    _parameter("by", "The rows' span.", enum=["day"], default="day"),
    _parameter("format", "`csv` answers with a file.", enum=["json", "csv"], default="json"),
)


class ReportViewSet(ApiViewSet):
    """Reports about one advertiser's segments."""

    model = Segment
    needs = {"segment_loads": Needs(Role.VIEWER)}

    def _query_parameters(self) -> frozenset[str]:
        return frozenset(parameter.name for parameter in _PARAMETERS)

    @extend_schema(
        summary="Read how segments were loaded, by day",
        description=(
            "400 `bad_dates` for days that make no period, 400 `too_many_rows` above 100,000 rows. Formula signs in "
            "the CSV file are escaped."
        ),
        parameters=list(_PARAMETERS),
        responses={
            (200, "application/json"): SegmentLoads,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "The rows."),
            404: OpenApiResponse({"$ref": "#/components/schemas/Error"}, errors.NOT_FOUND.message),
        },
        examples=[OpenApiExample("Cart", _LOADS, response_only=True, media_type="application/json")],
    )
    @action(detail=False, methods=["get"], url_path="segment-loads")
    def segment_loads(self, request: Request) -> HttpResponse:
        as_csv = _one_of(request, "format", ("json", "csv")) == "csv"
        _one_of(request, "by", ("day",))
        report = self._report(request)
        if not as_csv:
            return Response(SegmentLoads(report).data)
        return HttpResponse(
            reports.as_csv(report),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{reports.file_name(report)}"'},
        )

    def _report(self, request: Request) -> reports.Report:
        advertiser, now = self.seat.advertiser, timezone.now()
        segments = self._segments(request.query_params.get("segment"))
        today = reports.today_of(advertiser, now)
        first, last = request.query_params.get("from"), request.query_params.get("to")
        try:
            is_default = first is None and last is None
            named = reports.named_periods(today)["week"]
            period = named if is_default else reports.own_period(first or "", last or "", today)
            return reports.segment_loads(advertiser, segments, period, now)
        except reports.NoReport as error:
            raise BadReport(error.code, str(error)) from None

    def _segments(self, asked: str | None) -> list[Segment]:
        rows = self.get_queryset().order_by("name", "pk")
        if asked is None:
            return list(rows)
        if not CODE_PATTERN.fullmatch(asked):
            raise NotFound
        # A code may look like a number, and is meant then.
        found = rows.filter(code__iexact=asked).first()
        if found is None and asked.isdecimal() and len(asked) <= _LONGEST_NUMBER:
            found = rows.filter(pk=int(asked)).first()
        if found is None:
            raise NotFound
        return [found]


def _one_of(request: Request, name: str, known: tuple[str, ...]) -> str:
    word = request.query_params.get(name, known[0])
    if word not in known:
        raise ValidationError({name: f"Use one of {', '.join(known)}."})
    return word
