"""`/runs`: start an export now, follow the run, cancel it, download its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import structlog
from django.db.models import Prefetch, QuerySet
from django.http import FileResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.access import Needs
from audience.api.filters import RowId
from audience.api.pages import KeyPages
from audience.api.serializers import ClosedSerializer, OwnRow, RowSerializer
from audience.api.views import ApiViewSet
from audience.models import ApiToken, Role
from exports.models import Export, Run, RunFile
from exports.progress import progress_of
from exports.reasons import Refused
from exports.runs import cancel_run, start_run
from exports.sending import are_kept, local_path

log = structlog.get_logger(__name__)

_RUN = {
    "id": 81,
    "export": 7,
    "retry_of": None,
    "state": "sending",
    "reason": None,
    "message": None,
    "cause": "api",
    "started_by": "API token CRM sync",
    "is_to_be_sent": True,
    "due_at": "2026-11-22T03:00:00Z",
    "created_at": "2026-11-22T03:00:01Z",
    "started_at": "2026-11-22T03:00:01Z",
    "as_of": "2026-11-22T03:00:02Z",
    "written_at": "2026-11-22T03:00:12Z",
    "visible_at": None,
    "ended_at": None,
    "next_try_at": None,
    "tries": 1,
    "progress": {
        "rows_expected": 1000000,
        "rows_written": 1000000,
        "bytes_packed": 21000000,
        "bytes_sent": 8388608,
        "rows_per_second": 0.0,
        "bytes_per_second": 8388608.0,
        "share": 0.4,
        "seconds_left": 2,
        "is_stalled": False,
        "can_be_cancelled": True,
    },
    "funnel": {"members": 1000000, "written": 1000000},
    "files": [
        {
            "position": 1,
            "kind": "part",
            "state": "written",
            "name": "crm_nightly_20261122.csv.gz",
            "rows": 1000000,
            "bytes": 21000000,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }
    ],
}
_EXAMPLE = [OpenApiExample("On its way", _RUN, response_only=True)]


class ProgressSerializer(serializers.Serializer[Any]):
    """How far the run is; stored at most once a second."""

    rows_expected = serializers.IntegerField(allow_null=True, help_text="About so many.")
    rows_written = serializers.IntegerField()
    bytes_packed = serializers.IntegerField(help_text="After compression: what is sent.")
    bytes_sent = serializers.IntegerField()
    rows_per_second = serializers.FloatField(help_text="Over the last ten seconds.")
    bytes_per_second = serializers.FloatField()
    share = serializers.FloatField(allow_null=True, help_text="Of the step under way, 0 to 1.")
    seconds_left = serializers.IntegerField(allow_null=True, help_text="Of the step under way; null while not known.")
    is_stalled = serializers.BooleanField(help_text="Its worker is silent; another one takes it over.")
    can_be_cancelled = serializers.BooleanField()


class RunFileSerializer(RowSerializer):
    """One file of a run's set."""

    name = serializers.SerializerMethodField(help_text="At the receiver.")

    class Meta:
        model = RunFile
        fields = ("position", "kind", "state", "name", "rows", "bytes", "sha256")
        read_only_fields = fields

    def get_name(self, file: RunFile) -> str:
        return str(file)


class RunSerializer(RowSerializer):
    """One attempt of an export: its state, how far it is, and what it wrote."""

    export = serializers.IntegerField(source="export_id")
    retry_of = serializers.IntegerField(source="retry_of_id", allow_null=True)
    reason = serializers.SerializerMethodField(help_text="Why it ended so, or waits.")
    message = serializers.SerializerMethodField(help_text="The reason as a sentence, with the next step.")
    progress = serializers.SerializerMethodField()
    funnel = serializers.DictField(child=serializers.IntegerField(), help_text="Persons: members, losses, written.")
    files = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = (
            "id",
            "export",
            "retry_of",
            "state",
            "reason",
            "message",
            "cause",
            "started_by",
            "is_to_be_sent",
            "due_at",
            "created_at",
            "started_at",
            "as_of",
            "written_at",
            "visible_at",
            "ended_at",
            "next_try_at",
            "tries",
            "progress",
            "funnel",
            "files",
        )
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, run: Run) -> Any:
        return ProgressSerializer(progress_of(run)).data

    def get_reason(self, run: Run) -> str | None:
        return run.reason or None

    def get_message(self, run: Run) -> str | None:
        return run.error or None

    @extend_schema_field(RunFileSerializer(many=True))
    def get_files(self, run: Run) -> Any:
        return RunFileSerializer(_sent_files(run), many=True).data


class StartRun(ClosedSerializer):
    """An export to run now."""

    export = OwnRow(queryset=Export.objects)
    is_to_be_sent = serializers.BooleanField(
        default=True, help_text="False: write the files and keep them here for download."
    )


class RunFilters(filters.FilterSet):
    export = RowId(field_name="export_id", help_text="The runs of this export.")
    state = filters.ChoiceFilter(choices=Run.State.choices)


class RunPages(KeyPages):
    orderings = ("-id", "id", "-due_at", "due_at")


@extend_schema_view(
    list=extend_schema(summary="List runs, the newest first", examples=_EXAMPLE),
    retrieve=extend_schema(summary="Read a run's state and progress", examples=_EXAMPLE),
)
class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet):
    """Runs of one advertiser's exports."""

    model = Run
    serializer_class = RunSerializer
    filterset_class = RunFilters
    pagination_class = RunPages
    needs = {
        "list": Needs(Role.VIEWER),
        "retrieve": Needs(Role.VIEWER),
        "create": Needs(Role.MANAGER),
        "cancel": Needs(Role.MANAGER),
        "download": Needs(Role.VIEWER, people=True),
    }

    def get_queryset(self) -> QuerySet[Any]:
        files = Prefetch("files", queryset=RunFile.objects.order_by("position"))
        return super().get_queryset().prefetch_related(files)

    @extend_schema(
        summary="Run an export now",
        description="409 where the destination is not ready, or where a run of this export is under way.",
        request=StartRun,
        responses={201: RunSerializer},
        examples=[OpenApiExample("Now", {"export": 7}, request_only=True), *_EXAMPLE],
    )
    def create(self, request: Request) -> Response:
        sent = StartRun(data=request.data)
        sent.is_valid(raise_exception=True)
        with _refusals():
            run = start_run(**sent.validated_data, started_by=self._caller, cause=Run.Cause.API)
        return Response(self.get_serializer(run).data, 201)

    @extend_schema(
        summary="Cancel a run",
        description="Until the receiver can see a file; then, and after the end, 409. The run stops within seconds.",
        request=None,
        examples=_EXAMPLE,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: Any) -> Response:
        run = self.get_object()
        with _refusals():
            cancel_run(run, cancelled_by=self._caller)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        summary="Download a file of a run",
        description="The bytes as they are sent. 409 once they are no longer kept here.",
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "The file.")},
    )
    @action(detail=True, methods=["get"], url_path="files/<int:position>")
    def download(self, request: Request, position: int, **_: Any) -> FileResponse:
        run = self.get_object()
        file = next(
            (one for one in run.files.all() if (one.claim, one.position) == (run.files_claim, position)), None
        )
        if file is None:
            raise NotFound
        if not are_kept([file]):
            raise errors.Refused("not_kept", "This file is no longer kept here. Run the export again.")
        log.info("file downloaded", run=run.pk, file=file.position, rows=file.rows, token=self._token.prefix)
        content = local_path(file).open("rb")
        content_type = "application/octet-stream"
        return FileResponse(content, as_attachment=True, filename=str(file), content_type=content_type)

    @property
    def _token(self) -> ApiToken:
        return cast(ApiToken, self.request.auth)

    @property
    def _caller(self) -> str:
        return f"API token {self._token.name}"


def _sent_files(run: Run) -> list[RunFile]:
    """The files of the claim that is sent, from the prefetched ones."""
    return [file for file in run.files.all() if file.claim == run.files_claim]


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer what the work function refuses with 409 and its sentence."""
    try:
        yield
    except Refused as error:
        raise errors.Refused("refused", str(error)) from None
