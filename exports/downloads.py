"""A run's file as a person downloads it: the delivered bytes, except that no cell starts a spreadsheet's formula.

The file at the receiver stays as it is. What goes to a browser ends in a spreadsheet, so cells with text that begin
with a formula sign get a `'` here, whatever the export says; identifiers and numbers never do.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from exports import formats
from exports.models import Export, Run, RunFile
from exports.plan import Plan, from_json
from exports.sending import local_path

BLOCK_BYTES = 64 * 1024
_GZIP = 31  # zlib's name for “with gzip's head and end”


def content_of(run: Run, file: RunFile) -> Iterator[bytes]:
    """Yield a kept file's bytes, cells that a spreadsheet would run made harmless."""
    path = local_path(file)
    if file.kind != RunFile.Kind.PART:
        return _blocks_of(path)
    plan = from_json(run.recorded)
    if plan.form.is_formula_safe or not _has_risk(plan):
        return _blocks_of(path)
    is_gzip = plan.compression == Export.Compression.GZIP
    safe = _safe_lines(plan, _records(plan.form, path, is_gzip=is_gzip))
    return _packed(safe) if is_gzip else _joined(safe)


def _has_risk(plan: Plan) -> bool:
    return "text" in plan.kinds() or any(name.startswith(formats.FORMULA_SIGNS) for name in plan.headers())


def _blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            yield block


def _records(form: formats.Csv, path: Path, *, is_gzip: bool) -> Iterator[str]:
    """Yield each record of the file with its line end; one with a line break inside quotes is one record."""
    open_as_text = cast("Callable[..., IO[str]]", gzip.open if is_gzip else open)
    with open_as_text(path, "rt", encoding=form.codec, newline="\n") as source:
        record = ""
        for line in source:
            record += line
            if record.count('"') % 2 == 0:
                yield record
                record = ""
        if record:
            yield record


def _safe_lines(plan: Plan, records: Iterable[str]) -> Iterator[bytes]:
    form = plan.form
    texts = [place for place, kind in enumerate(plan.kinds()) if kind == "text"]
    is_header = form.has_header
    for number, record in enumerate(records):
        mark = "\ufeff" if number == 0 and record.startswith("\ufeff") else ""
        places = list(range(len(plan.kinds()))) if is_header and number == 0 else texts
        yield (mark + _safe_record(form, record.removeprefix(mark), places)).encode(form.codec, "replace")


def _safe_record(form: formats.Csv, record: str, places: list[int]) -> str:
    """Return the record as it is, unless one of its text cells begins with a formula sign."""
    values = next(csv.reader([record], delimiter=form.delimiter), [])
    risky = [place for place in places if place < len(values) and values[place].startswith(formats.FORMULA_SIGNS)]
    if not risky:
        return record
    for place in risky:
        values[place] = formats.safe_text(values[place])
    # In a record that is written anew, an empty text and a missing value look the same.
    cells = [None if value == form.null_text else value for value in values]
    return formats.line(form, cells) + form.line_end_text


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for line in lines:
        block += line
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def _packed(lines: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    for block in _joined(lines):
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()
