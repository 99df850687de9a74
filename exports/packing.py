"""Rows as local files: compressed, counted and hashed on the way, cut into parts, in constant memory.

The same rows give the same bytes: gzip carries no time and no name.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from isal import isal_zlib

# Rows are handed to compressor and file in blocks of this size.
BLOCK_BYTES = 256 * 1024
# igzip's level 1 is about as fast as COPY delivers; zlib's level 6 took three times as long for a few per cent.
GZIP_LEVEL = 1
_GZIP_WINDOW = 31


@dataclass(frozen=True)
class Packed:
    """One finished local file."""

    path: Path
    rows: int
    bytes_plain: int
    bytes: int
    sha256: str


class _Compressor(Protocol):
    def compress(self, block: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, block: bytes, /) -> bytes:
        return block

    def flush(self) -> bytes:
        return b""


class PartFile:
    """One local file that is being written, private to the service."""

    def __init__(self, path: Path, *, is_gzip: bool) -> None:
        self._path = path
        self._compressor: _Compressor = (
            isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW) if is_gzip else _Plain()
        )
        self._digest = hashlib.sha256()
        self.rows = self.bytes_plain = self.bytes = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def write(self, block: bytes, rows: int) -> None:
        self._put(self._compressor.compress(block))
        self.rows += rows
        self.bytes_plain += len(block)

    def finish(self) -> Packed:
        """Flush to the disk: after a crash of the machine the record of this file must not be ahead of it."""
        self._put(self._compressor.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Packed(self._path, self.rows, self.bytes_plain, self.bytes, self._digest.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _put(self, packed: bytes) -> None:
        if packed:
            self._digest.update(packed)
            self._file.write(packed)
            self.bytes += len(packed)


@dataclass(frozen=True)
class Block:
    """Some rows of one part; `part` counts from 1."""

    content: bytes
    rows: int
    part: int


def blocks(rows: Iterable[bytes], *, head: bytes, most_rows: int | None, most_bytes: int | None) -> Iterator[Block]:
    """Yield the rows as blocks, each part beginning with `head`; a row is never cut. Without rows: the head alone."""
    if most_rows is None and most_bytes is None:
        return _blocks_of_one_part(rows, head)
    return _blocks_of_parts(rows, head, most_rows or 2**63, most_bytes or 2**63)


def pack(
    stream: Iterable[Block],
    path_of: Callable[[int], Path],
    *,
    is_gzip: bool,
    after_block: Callable[[Block, int], None],
) -> Iterator[Packed]:
    """Write blocks to the files of their parts; yield each part as it is finished.

    `after_block` hears of each block and of the packed bytes it came to.
    """
    part: PartFile | None = None
    number = 0
    try:
        for block in stream:
            if part is None or block.part != number:
                if part is not None:
                    yield part.finish()
                number, part = block.part, PartFile(path_of(block.part), is_gzip=is_gzip)
            before = part.bytes
            part.write(block.content, block.rows)
            after_block(block, part.bytes - before)
        if part is not None:
            yield part.finish()
    finally:
        if part is not None:
            part.__exit__(None, None, None)


def _blocks_of_one_part(rows: Iterable[bytes], head: bytes) -> Iterator[Block]:
    # A million times round: nothing but what must be.
    waiting: list[bytes] = [head]
    size, count = len(head), 0
    for row in rows:
        waiting.append(row)
        size += len(row)
        count += 1
        if size >= BLOCK_BYTES:
            yield Block(b"".join(waiting), count, 1)
            waiting, size, count = [], 0, 0
    if waiting:
        yield Block(b"".join(waiting), count, 1)


def _blocks_of_parts(rows: Iterable[bytes], head: bytes, most_rows: int, most_bytes: int) -> Iterator[Block]:
    waiting: list[bytes] = [head]
    part, count = 1, 0
    size = part_bytes = len(head)
    part_rows = 0
    for row in rows:
        is_full = part_rows >= most_rows or (part_rows and part_bytes + len(row) > most_bytes)
        if is_full or size >= BLOCK_BYTES:
            yield Block(b"".join(waiting), count, part)
            waiting, size, count = [], 0, 0
        if is_full:
            part, waiting = part + 1, [head]
            size = part_bytes = len(head)
            part_rows = 0
        waiting.append(row)
        size, part_bytes = size + len(row), part_bytes + len(row)
        count, part_rows = count + 1, part_rows + 1
    if waiting:
        yield Block(b"".join(waiting), count, part)
