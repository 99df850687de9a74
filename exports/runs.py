"""What people ask of a run: start, cancel, send again, run again.

Each makes or marks a row and announces it; `exports.working` does what the row says.
"""

import os
import shutil
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from exports.dispatch import announce
from exports.models import Destination, Export, Run, RunFile
from exports.reasons import Refused
from exports.sending import are_kept, files_of, local_path
from exports.writing import make_run_folder, run_folder

State, Cause = Run.State, Run.Cause
_TAKEN_OVER = (
    "as_of",
    "written_at",
    "recorded",
    "funnel",
    "rows_expected",
    "rows_written",
    "bytes_plain",
    "bytes_packed",
)


def start_run(
    export: Export,
    *,
    due_at: datetime | None = None,
    started_by: str,
    cause: Run.Cause = Cause.PERSON,
    is_to_be_sent: bool = True,
) -> Run:
    """Start a run now and announce it to the workers; `due_at` gives the files their names (default: now).

    Raises `Refused` where the destination is not ready or a run of the export is under way.
    """
    if is_to_be_sent:
        _refuse_unready(export)
    return _make(
        export,
        due_at=due_at or timezone.now(),
        cause=cause,
        started_by=started_by,
        is_to_be_sent=is_to_be_sent,
    )


def run_again(run: Run, *, started_by: str = "", cause: Run.Cause = Cause.PERSON) -> Run:
    """Start a new run for the same due time and names, with a new snapshot; raises `Refused`."""
    _refuse_open(run)
    _refuse_unready(run.export)
    return _make(run.export, due_at=run.due_at, cause=cause, started_by=started_by, retry_of=run)


def send_again(run: Run, *, started_by: str = "", cause: Run.Cause = Cause.PERSON) -> Run:
    """Start a new run that sends the same bytes once more; raises `Refused` when they are no longer kept."""
    _refuse_open(run)
    _refuse_unready(run.export)
    files = [file for file in files_of(run) if file.kind == RunFile.Kind.PART]
    if not files or not are_kept(files):
        raise Refused("The files of this run are no longer kept. Run it again: that takes a new snapshot.")
    fields: dict[str, Any] = {name: getattr(run, name) for name in _TAKEN_OVER}
    fields |= {"due_at": run.due_at, "cause": cause, "started_by": started_by, "retry_of": run}
    with transaction.atomic():
        again = _make(run.export, state=State.WRITTEN, **fields)
        _link_files(again, files)
    return again


def cancel_run(run: Run, *, cancelled_by: str = "") -> None:
    """Cancel a run that the receiver sees nothing of yet; raises `Refused` otherwise.

    Whoever works on it stops at the next block and removes what it had begun.
    """
    asked = (
        Run.objects.filter(pk=run.pk, state__in=Run.OPEN, visible_at=None, cancel_asked_at=None)
        .order_by()
        .update(cancel_asked_at=Now(), cancel_asked_by=cancelled_by)
    )
    run.refresh_from_db()
    if asked:
        announce([run.pk])
    elif run.visible_at is not None and run.is_open:
        raise Refused("This run is already visible to the receiver and can no longer be cancelled.")
    elif not run.is_open:
        raise Refused("This run has ended already.")


def has_kept_files(run: Run) -> bool:
    """Say whether the rows of a run can still be sent again or downloaded here."""
    files = [file for file in files_of(run) if file.kind == RunFile.Kind.PART]
    return bool(files) and are_kept(files)


def _make(export: Export, **fields: Any) -> Run:
    try:
        with transaction.atomic():
            # The tick holds the same lock: of the two one sees the other's run.
            Export.objects.select_for_update().get(pk=export.pk)
            run = Run(export=export, destination=export.destination, **fields)
            run.save()
            announce([run.pk])
            return run
    except IntegrityError as error:
        if "one_open_run" not in str(error):
            raise
        raise Refused("A run of this export is under way. Wait until it ends, or cancel it.") from error


def _link_files(run: Run, files: list[RunFile]) -> None:
    """Keep the same bytes for the new run, so that each run's files end with that run alone."""
    shutil.rmtree(run_folder(run), ignore_errors=True)
    folder = make_run_folder(run, 0)
    linked = []
    for file in files:
        target = folder / f"{file.position:04}"
        os.link(local_path(file), target)
        linked.append(
            RunFile(
                advertiser_id=run.advertiser_id,
                run=run,
                claim=0,
                position=file.position,
                local_path=str(target.relative_to(run_folder(run).parent)),
                wanted_name=file.wanted_name,
                rows=file.rows,
                bytes_plain=file.bytes_plain,
                bytes=file.bytes,
                sha256=file.sha256,
                of_segment_id=file.of_segment_id,
            )
        )
    RunFile.objects.bulk_create(linked)


def _refuse_open(run: Run) -> None:
    if run.is_open:
        raise Refused("This run has not ended yet.")


def _refuse_unready(export: Export) -> None:
    destination = Destination.objects.get(pk=export.destination_id)
    if destination.state == Destination.State.READY:
        return
    if destination.state == Destination.State.PAUSED:
        raise Refused(f"The destination {destination.name} is paused. Switch it on again first.")
    raise Refused(f"The destination {destination.name} is not ready. Test its connection first.")
