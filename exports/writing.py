"""From a claimed run to files on our disk: one snapshot, every part of the set, counted losses.

No byte travels while the snapshot is open, and nothing is written where too few people are in.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audience.crash import crash_point
from audience.pacing import Pacing
from exports import file_names, formats, packing
from exports.lease import Lease
from exports.models import Export, Run, RunFile
from exports.plan import Chosen, Plan, plan_of
from exports.reasons import DeliveryError
from exports.rows import Head, Snapshot, snapshot

FOLDER_MODE = 0o700
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Skipped(Exception):
    """Nothing is sent, and that is as the export wants it: a reason of the table with its facts."""

    def __init__(self, code: str, **facts: str | int) -> None:
        self.code, self.facts = code, facts
        super().__init__(code)


@dataclass
class Written:
    """What came out: T, the plan as it was, the files, and where the people went."""

    at: datetime
    plan: Plan
    files: list[RunFile]
    funnel: dict[str, int]


def run_folder(run: Run) -> Path:
    """Return where the files of a run are kept."""
    return Path(settings.EXPORT_RUN_DIR) / f"run-{run.pk}"


def make_run_folder(run: Run, claim: int) -> Path:
    """Make the empty folder of one claim's files; nobody but the service gets in."""
    folder = run_folder(run) / str(claim)
    Path(settings.EXPORT_RUN_DIR).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for one in (folder.parent, folder):
        one.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return folder


def write_files(run: Run, lease: Lease) -> None:
    """Write a run's files from a snapshot and record them; the run is `written` then.

    Raises `Skipped`, `DeliveryError`, `ClaimLost` or `CancelAsked`; half a set is removed.
    """
    _forget_earlier(run)
    folder = make_run_folder(run, lease.claim)
    try:
        written = _write(run, lease, plan_of(run.export), folder)
        _record(run, lease, written)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno in _DISK_IS_FULL:
            raise DeliveryError("local_disk_full") from error
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    crash_point("export.written")


def _forget_earlier(run: Run) -> None:
    """Remove the files that a claim before this one left behind; their names stay recorded as ours."""
    shutil.rmtree(run_folder(run), ignore_errors=True)
    RunFile.objects.filter(run=run).update(local_path="")


def _write(run: Run, lease: Lease, plan: Plan, folder: Path) -> Written:
    with snapshot() as view:
        plan = _with_versions(plan, view)
        sets = [(one, _checked(one, view.count(one))) for one in _plans_of_files(plan)]
        lease.progress.rows_expected = sum(head.valid for _, head in sets)
        writer = _Writer(run, lease, folder)
        for one, head in _without_empty(plan, sets):
            writer.write(one, head, view)
    return Written(view.at, plan, writer.files, writer.funnel)


def _with_versions(plan: Plan, view: Snapshot) -> Plan:
    versions = view.versions(plan.segments)
    return replace(plan, segments=tuple(replace(one, version=versions[one.id]) for one in plan.segments))


def _plans_of_files(plan: Plan) -> list[Plan]:
    """Return a plan for each file, parts not counted: one per segment, or one for all."""
    if plan.layout == Export.Layout.FILE_PER_SEGMENT:
        return [plan.for_segment(segment) for segment in plan.segments]
    return [plan]


def _checked(plan: Plan, head: Head) -> Head:
    """Refuse a file for so few people that they could be guessed; then the whole set stays here."""
    if head.valid < plan.minimum_size and plan.minimum_size > 1:
        raise Skipped("too_small", members=head.valid, minimum=plan.minimum_size)
    return head


def _without_empty(plan: Plan, sets: list[tuple[Plan, Head]]) -> list[tuple[Plan, Head]]:
    """Return the files to write, as the export wants it where nobody is in."""
    full = [one for one in sets if one[1].valid]
    if len(full) == len(sets) or plan.empty == Export.Empty.SEND:
        return sets
    if plan.empty == Export.Empty.FAIL:
        raise DeliveryError("empty")
    if not full:
        raise Skipped("empty")
    return full


class _Writer:
    """The files of one run as they are written."""

    def __init__(self, run: Run, lease: Lease, folder: Path) -> None:
        self._run, self._lease, self._folder = run, lease, folder
        self._pace = Pacing()
        self._due_at = run.due_at
        self.files: list[RunFile] = []
        self.funnel: dict[str, int] = {"members": 0, "no_identifier": 0, "encoding": 0, "written": 0}
        progress = lease.progress
        progress.rows_written = progress.bytes_plain = progress.bytes_packed = 0

    def write(self, plan: Plan, head: Head, view: Snapshot) -> None:
        """Write the parts of one file."""
        encoder = formats.RowEncoder(plan.form, _identifier_places(plan))
        rows = encoder.encode(view.rows(plan))
        stream = packing.blocks(
            rows, head=formats.head(plan.form, plan.headers()), most_rows=plan.split_rows, most_bytes=plan.split_bytes
        )
        is_gzip = plan.compression == Export.Compression.GZIP
        names = self._names(plan, is_gzip=is_gzip)
        for part in packing.pack(stream, self._path, is_gzip=is_gzip, after_block=self._after_block):
            self._add(plan, part, next(names))
        self._count(head, encoder)

    def _names(self, plan: Plan, *, is_gzip: bool) -> Iterator[str]:
        fields = self._fields(plan)
        number = 0
        while True:
            number += 1
            is_unnumbered = number == 1 and not plan.is_first_part_numbered
            part = "" if is_unnumbered else f"{number:03}"
            yield file_names.render(plan.file_name, replace(fields, part=part), ending=".gz" if is_gzip else "")

    def _fields(self, plan: Plan) -> file_names.Fields:
        segment = plan.segments[0] if len(plan.segments) == 1 else Chosen(0, "segments", "segments")
        return file_names.Fields(
            advertiser=plan.advertiser,
            export=plan.export,
            run=self._run.pk,
            due_at=self._due_at.astimezone(ZoneInfo(plan.zone)),
            mode=plan.mode,
            segment_id=str(segment.id or "segments"),
            segment_code=segment.code,
            segment=segment.name,
        )

    def _path(self, part: int) -> Path:
        return self._folder / f"{len(self.files) + 1:04}"

    def _add(self, plan: Plan, part: packing.Packed, wanted_name: str) -> None:
        self.files.append(
            RunFile(
                advertiser_id=self._run.advertiser_id,
                run=self._run,
                claim=self._lease.claim,
                position=len(self.files) + 1,
                local_path=str(part.path.relative_to(settings.EXPORT_RUN_DIR)),
                wanted_name=wanted_name,
                rows=part.rows,
                bytes_plain=part.bytes_plain,
                bytes=part.bytes,
                sha256=part.sha256,
                of_segment_id=plan.segments[0].id if len(plan.segments) == 1 else None,
            )
        )

    def _after_block(self, block: packing.Block, packed: int) -> None:
        progress = self._lease.progress
        progress.rows_written += block.rows
        progress.bytes_plain += len(block.content)
        progress.bytes_packed += packed
        crash_point("export.copying")
        self._lease.check()
        self._pace.rest()

    def _count(self, head: Head, encoder: formats.RowEncoder) -> None:
        self.funnel["members"] += head.members
        self.funnel["no_identifier"] += head.members - head.valid
        self.funnel["encoding"] += encoder.lost_rows
        self.funnel["written"] += head.valid - encoder.lost_rows
        if encoder.replaced_values:
            replaced = self.funnel.get("replaced_values", 0)
            self.funnel["replaced_values"] = replaced + encoder.replaced_values


def _identifier_places(plan: Plan) -> frozenset[int]:
    return frozenset(place for place, kind in enumerate(plan.kinds()) if kind == "identifier")


def _record(run: Run, lease: Lease, written: Written) -> None:
    """Record files and facts, and that the run is written, in one transaction under the claim."""
    facts: dict[str, Any] = {
        "state": Run.State.WRITTEN,
        "as_of": written.at,
        "written_at": timezone.now(),
        "recorded": written.plan.as_json(),
        "funnel": written.funnel,
        "files_claim": lease.claim,
        "rows_expected": lease.progress.rows_expected,
        "rows_written": sum(file.rows for file in written.files),
        "bytes_plain": sum(file.bytes_plain for file in written.files),
        "bytes_packed": sum(file.bytes for file in written.files),
    }
    # Compressed bytes that came out at the very end were in no block. Said before the record is written: the lease's
    # thread writes the progress beside it and must not put an older number over it.
    lease.progress.bytes_packed = facts["bytes_packed"]
    lease.check()
    with transaction.atomic():
        lease.write(**facts)
        RunFile.objects.bulk_create(written.files)
