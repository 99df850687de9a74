"""Files in a folder of this installation.

Promise: a marketer picks a root that the operator named and types a sub-folder of `[A-Za-z0-9._-]` names, never a
path. The way down is walked name by name without following links, so nothing outside the root can be reached; what
is done in the folder is done relative to its open descriptor.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings

from exports.destinations.connection import (
    RECORDED_EVERY_BYTES,
    FolderSettings,
    NameTaken,
    Watcher,
    ignore_step,
)
from exports.reasons import DeliveryError

FILE_MODE = 0o640
FOLDER_MODE = 0o750
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def is_sub_folder(path: str) -> bool:
    """Say whether a text is a sub-folder: names of letters, digits, dot, dash, underscore with / between them."""
    return path == "" or all(_NAME.fullmatch(name) for name in path.split("/"))


class FolderConnection:
    """An open folder below one of the roots in `settings.EXPORT_FOLDERS`; made where it is missing."""

    host_key = ""

    def __init__(self, to: FolderSettings, watcher: Watcher = ignore_step) -> None:
        watcher("folder")
        self._facts = {"folder": f"{to.root}/{to.path}".rstrip("/"), "user": "Muster"}
        with self._errors_told():
            self._descriptor = _walk(to)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def size(self, name: str) -> int | None:
        with self._errors_told():
            try:
                return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_size
            except FileNotFoundError:
                return None

    def upload(self, local: Path, name: str, *, offset: int = 0) -> Iterator[int]:
        with self._errors_told(), local.open("rb") as source:
            self._refuse_if_full(local.stat().st_size - offset)
            source.seek(offset)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (0 if offset else os.O_TRUNC)
            target = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
            try:
                os.fchmod(target, FILE_MODE)
                os.lseek(target, offset, os.SEEK_SET)
                while block := source.read(RECORDED_EVERY_BYTES):
                    _write_all(target, block)
                    offset += len(block)
                    yield offset
                os.fsync(target)
            finally:
                os.close(target)

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        with self._errors_told():
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._descriptor)
            with os.fdopen(descriptor, "rb") as source:
                source.seek(offset)
                left = length
                while block := source.read(RECORDED_EVERY_BYTES if left is None else min(left, RECORDED_EVERY_BYTES)):
                    left = None if left is None else left - len(block)
                    yield block

    def publish(self, name: str, final: str) -> None:
        with self._errors_told():
            try:
                self._rename_to_free_name(name, final)
            except FileExistsError as error:
                raise NameTaken(final) from error
            os.fsync(self._descriptor)

    def replace(self, name: str, final: str) -> None:
        with self._errors_told():
            os.replace(name, final, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)

    replace_in_one_step = replace

    def remove(self, name: str) -> None:
        with self._errors_told(), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def free_bytes(self) -> int | None:
        told = os.fstatvfs(self._descriptor)
        return told.f_bavail * told.f_frsize

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)

    def _rename_to_free_name(self, name: str, final: str) -> None:
        """Rename by a hard link, which unlike a rename refuses a name that exists; by a look first without links."""
        here = self._descriptor
        try:
            os.link(name, final, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
            os.unlink(name, dir_fd=here)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if self.size(final) is not None:
                raise FileExistsError(final) from error
            os.rename(name, final, src_dir_fd=here, dst_dir_fd=here)

    def _refuse_if_full(self, needed: int) -> None:
        free = self.free_bytes()
        if free is not None and free < needed:
            raise DeliveryError("disk_full", missing_mb=_megabytes(needed - free))

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Say in the words of the table what the system says in numbers."""
        try:
            yield
        except OSError as error:
            raise _told(error, self._facts) from error


def _walk(to: FolderSettings) -> int:
    """Return a descriptor of the folder; missing sub-folders are made, links are refused."""
    root = settings.EXPORT_FOLDERS.get(to.root)
    if root is None or not is_sub_folder(to.path):
        raise DeliveryError("folder_missing", folder=f"{to.root}/{to.path}".rstrip("/"))
    Path(root).mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in filter(None, to.path.split("/")):
        try:
            with suppress(FileExistsError):
                os.mkdir(name, FOLDER_MODE, dir_fd=descriptor)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _write_all(target: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(target, view) :]


def _told(error: OSError, facts: dict[str, str]) -> DeliveryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeliveryError("disk_full")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return DeliveryError("folder_missing", **facts)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeliveryError("not_allowed", **facts)
    return DeliveryError("server_busy")


def _megabytes(count: int) -> int:
    return max(1, round(count / 1_000_000))
