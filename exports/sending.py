"""From files on our disk to a set at the receiver: uploaded as `.part`, renamed in order, manifest, then sentinel.

Law: before the first byte a file's name and size are recorded; after every step its new state is. So whoever goes on
after a crash knows which files are ours and how far each had come, and nothing is sent twice.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from audience.crash import crash_point
from exports.destinations.connection import Connection, NameTaken
from exports.lease import ClaimLost, Lease
from exports.manifest import manifest_of
from exports.models import Run, RunFile
from exports.own_files import OwnFiles, free_name, free_part_name
from exports.plan import Plan, from_json
from exports.reasons import DeliveryError

# So much before the place from which an upload goes on is read back and compared.
COMPARED_BYTES = 64 * 1024
State = RunFile.State


def local_path(file: RunFile) -> Path:
    """Return where a file is kept here."""
    return Path(settings.EXPORT_RUN_DIR) / file.local_path


def files_of(run: Run) -> list[RunFile]:
    """Return the files that a run sends, in order."""
    return list(RunFile.objects.filter(run=run, claim=run.files_claim).order_by("position"))


def are_kept(files: Iterable[RunFile]) -> bool:
    """Say whether all files are on this machine, as they were written."""
    return all(
        file.local_path and local_path(file).is_file() and local_path(file).stat().st_size == file.bytes
        for file in files
    )


class Delivery:
    """One try to bring a run's set to its destination, beginning wherever the try before had ended."""

    def __init__(self, run: Run, lease: Lease, connection: Connection) -> None:
        self._run, self._lease, self._connection = run, lease, connection
        self._plan: Plan = from_json(run.recorded)
        self._own = OwnFiles(run, self._plan)
        self._files = files_of(run)
        self._sent_before = 0

    def deliver(self, *, is_read_back: bool = False) -> None:
        """Bring the set; return when every size was read back.

        Raises `DeliveryError`, `ClaimLost` or `CancelAsked`.
        """
        self._look_what_is_there()
        parts = [file for file in self._files if file.kind == RunFile.Kind.PART]
        for file in parts:
            self._upload(file, is_read_back=is_read_back)
        crash_point("export.uploaded")
        self._lease.make_visible()
        for file in parts:
            self._publish(file)
        if self._plan.has_manifest:
            self._add(
                RunFile.Kind.MANIFEST, manifest_of(self._run, self._plan, parts), f"{parts[0].name}.manifest.json"
            )
        if self._plan.sentinel_ending:
            self._add(RunFile.Kind.SENTINEL, b"", parts[0].name + self._plan.sentinel_ending)
        for file in self._files:
            self._confirm(file)
        self._remove_earlier_parts()
        crash_point("export.confirmed")

    def abandon(self) -> list[str]:
        """Remove the own `.part` files of a set that is not sent on; return the names of those that stay behind."""
        left = []
        begun = RunFile.objects.filter(run=self._run, state__in=(State.WRITTEN, State.UPLOADED)).exclude(part_name="")
        for name in begun.values_list("part_name", flat=True):
            try:
                self._connection.remove(name)
            except DeliveryError:
                left.append(name)
        return left

    def _look_what_is_there(self) -> None:
        """After a crash between a rename and its record the server knows better than the record."""
        for file in self._files:
            if file.state == State.UPLOADED and self._connection.size(file.part_name) is None:
                is_renamed = self._connection.size(file.name) == file.bytes
                self._note(file, state=State.PUBLISHED if is_renamed else State.WRITTEN, acknowledged_bytes=0)

    def _upload(self, file: RunFile, *, is_read_back: bool = False) -> None:
        if file.state != State.WRITTEN:
            self._count_sent(file, file.bytes, is_whole=True)
            return
        if not file.name:
            self._choose_name(file)
        self._lease.check()
        for acknowledged in self._connection.upload(local_path(file), file.part_name, offset=self._offset(file)):
            crash_point("export.part")
            self._count_sent(file, acknowledged)
            self._note(file, acknowledged_bytes=acknowledged)
            self._lease.check()
        self._check_upload(file, is_read_back=is_read_back)
        self._note(file, state=State.UPLOADED)
        self._count_sent(file, file.bytes, is_whole=True)

    def _count_sent(self, file: RunFile, acknowledged: int, *, is_whole: bool = False) -> None:
        """Progress counts the rows' files alone: of those the total is known beforehand."""
        if file.kind == RunFile.Kind.PART:
            self._lease.progress.bytes_sent = self._sent_before + acknowledged
            self._sent_before += acknowledged if is_whole else 0

    def _choose_name(self, file: RunFile) -> None:
        name = self._free_name(file)
        self._note(file, name=name, part_name=free_part_name(self._connection, self._own, name))

    def _free_name(self, file: RunFile) -> str:
        used = {other.name.lower() for other in self._files if other.name and other is not file}
        return free_name(self._connection, self._own, file.wanted_name, self._plan.name_taken, used)

    def _offset(self, file: RunFile) -> int:
        """Return from where an upload goes on: what is there and was acknowledged, if its end is as it should be."""
        there = self._connection.size(file.part_name)
        if there is None or there > file.bytes:
            return 0
        offset = min(there, file.acknowledged_bytes)
        begin = max(0, offset - COMPARED_BYTES)
        if offset == 0:
            return 0
        with local_path(file).open("rb") as source:
            source.seek(begin)
            expected = source.read(offset - begin)
        with suppress(DeliveryError):
            if b"".join(self._connection.read(file.part_name, offset=begin, length=offset - begin)) == expected:
                return offset
        return 0

    def _check_upload(self, file: RunFile, *, is_read_back: bool) -> None:
        is_same = self._connection.size(file.part_name) == file.bytes
        if is_same and is_read_back:
            digest = hashlib.sha256()
            for block in self._connection.read(file.part_name):
                self._lease.check()
                digest.update(block)
            is_same = digest.hexdigest() == file.sha256
        if not is_same:
            self._note(file, acknowledged_bytes=0)
            raise DeliveryError("short_file", name=file.name)

    def _publish(self, file: RunFile) -> None:
        if file.state != State.UPLOADED:
            return
        self._lease.check()
        try:
            self._connection.publish(file.part_name, file.name)
        except NameTaken:
            self._publish_over(file)
        crash_point("export.renamed")
        self._note(file, state=State.PUBLISHED)
        self._confirm(file)

    def _publish_over(self, file: RunFile) -> None:
        """The name was taken in the meantime, or stands there as a file of ours."""
        if self._own.wrote(file.name, self._connection.size(file.name)):
            self._connection.replace(file.part_name, file.name)
            return
        name = self._free_name(file)
        self._note(file, name=name)
        try:
            self._connection.publish(file.part_name, name)
        except NameTaken:
            self._publish_over(file)

    def _add(self, kind: RunFile.Kind, content: bytes, wanted_name: str) -> None:
        """Bring manifest or sentinel the same way, once everything before it is there."""
        file = next((file for file in self._files if file.kind == kind), None)
        if file is None:
            file = self._make(kind, content, wanted_name)
            self._files.append(file)
        crash_point("export.manifest" if kind == RunFile.Kind.MANIFEST else "export.sentinel")
        self._upload(file)
        self._publish(file)

    def _make(self, kind: RunFile.Kind, content: bytes, wanted_name: str) -> RunFile:
        path = local_path(self._files[0]).with_name(str(kind.value))
        path.write_bytes(content)
        path.chmod(0o600)
        self._lease.check()
        return RunFile.objects.create(
            run=self._run,
            claim=self._run.files_claim,
            position=len(self._files) + 1,
            kind=kind,
            local_path=str(path.relative_to(settings.EXPORT_RUN_DIR)),
            wanted_name=wanted_name,
            bytes_plain=len(content),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _confirm(self, file: RunFile) -> None:
        """Read the final size, once: a receiver may fetch a file away as soon as it is there."""
        if file.state == State.CONFIRMED:
            return
        if self._connection.size(file.name) != file.bytes:
            raise DeliveryError("short_file", name=file.name)
        self._note(file, state=State.CONFIRMED)

    def _remove_earlier_parts(self) -> None:
        """What an earlier claim had begun and this one wrote anew is ours to take away."""
        earlier = RunFile.objects.filter(run=self._run, state__in=(State.WRITTEN, State.UPLOADED))
        for name in (
            earlier.exclude(claim=self._run.files_claim).exclude(part_name="").values_list("part_name", flat=True)
        ):
            with suppress(DeliveryError):
                self._connection.remove(name)

    def _note(self, file: RunFile, **changes: Any) -> None:
        """Record what has become of a file, under our claim alone."""
        held = RunFile.objects.filter(pk=file.pk, run__claim=self._lease.claim)
        if not held.update(**changes):
            raise ClaimLost
        for name, value in changes.items():
            setattr(file, name, value)
