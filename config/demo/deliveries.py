"""The exports of a demo advertiser: to a folder every night and once at once, run by the worker like any other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from audience.models import Advertiser
from exports import columns, timetable
from exports.destination_editing import check_destination, save_destination
from exports.editing import save_export
from exports.models import Destination, Export, ExportColumn, Run, RunFile
from exports.readiness import try_destination
from exports.runs import start_run
from segments.models import Segment

STARTED_BY = "manage.py demo"
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.2
# Of these segments, those that the advertiser has.
EVERY_NIGHT = ("bought", "bought-50", "gift-buyers")
AT_ONCE = ("cart", "refunded")


class NotDelivered(RuntimeError):
    """A demo's file did not arrive; the message says why."""


@dataclass(frozen=True)
class Delivered:
    """A file that lies in the folder, with its rows (without the header)."""

    path: Path
    rows: int


def deliver(advertiser: Advertiser) -> Iterator[Delivered]:
    """Make the folder and both exports, run them, and yield each file once the worker has delivered it."""
    destination = _make_destination(advertiser)
    segments = {segment.code: segment for segment in Segment.objects.all()}
    nightly = Export(
        name="Buyers for the CRM, every night",
        layout=Export.Layout.SEGMENT_COLUMN,
        schedule=timetable.NIGHTLY,
        file_name="buyers_{date}_{time}.csv",
    )
    once = Export(
        name="Carts and refunds, once",
        layout=Export.Layout.FILE_PER_SEGMENT,
        schedule=timetable.ONCE,
        once_at=timezone.now(),
        compression=Export.Compression.NONE,
        file_name="{segment_code}_{date}_{time}.csv",
    )
    runs = []
    for export, codes in ((nightly, EVERY_NIGHT), (once, AT_ONCE)):
        export.destination, export.zone = destination, advertiser.time_zone
        _save(export, [segments[code] for code in codes if code in segments])
        runs.append(start_run(export, started_by=STARTED_BY, cause=Run.Cause.COMMAND))
    for run in runs:
        yield from _await_files(run)


def _make_destination(advertiser: Advertiser) -> Destination:
    destination = Destination(
        name="Demo folder",
        kind=Destination.Kind.FOLDER,
        receiver=Destination.Receiver.OWN,
        root=next(iter(settings.EXPORT_FOLDERS)),
        path=f"demo-{advertiser.pk}",
    )
    check_destination(destination)
    save_destination(destination, secrets={}, saved_by=STARTED_BY)
    failed = [step for step in try_destination(destination, tested_by=STARTED_BY) if step.outcome == "failed"]
    if failed:
        raise NotDelivered(f"{destination.address}: {failed[0].label}: {failed[0].sentence}")
    return destination


def _save(export: Export, segments: Sequence[Segment]) -> None:
    told = [
        ExportColumn(source=columns.IDENTIFIER, identifier_kind="browser"),
        ExportColumn(source=columns.SEGMENT_CODE),
        ExportColumn(source="value"),
        ExportColumn(source="starts_at"),
        ExportColumn(source="expires_at"),
    ]
    export.full_clean(exclude=["segments"])
    save_export(export, segments=segments, columns=told)


def _await_files(run: Run) -> list[Delivered]:
    """Return the files of a run once they are delivered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run.is_open and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        run.refresh_from_db()
    if run.is_open:
        raise NotDelivered(f"{run.export} still waits for a worker. It is sent as soon as one runs (make up).")
    if run.state != Run.State.DELIVERED:
        raise NotDelivered(f"{run.export}: {run.get_state_display()}. {run.error}")
    folder = Path(settings.EXPORT_FOLDERS[run.destination.root]) / run.destination.path
    parts = RunFile.objects.filter(run=run, kind=RunFile.Kind.PART)
    return [Delivered(folder / part.name, part.rows) for part in parts]
