"""Rows as a CSV file: what PostgreSQL's COPY writes by itself, and what is left to do for a row on its way.

COPY puts delimiters, quotes and missing values; times, booleans and formula signs are in the query. So a row passes
through here as bytes. Only another line end or encoding is work per row, and only a row that an encoding cannot
hold is taken apart.
"""

import csv
import io
from codecs import BOM_UTF8, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError

MINIMAL, ALL = "minimal", "all"
QUOTING_CHOICES = ((MINIMAL, "Where needed"), (ALL, "Always"))
CRLF, LF = "crlf", "lf"
LINE_END_CHOICES = ((CRLF, "CR LF (as RFC 4180 says)"), (LF, "LF"))
BOOLEAN_CHOICES = (("true/false", "true / false"), ("1/0", "1 / 0"), ("yes/no", "yes / no"))
ISO, UNIX = "iso", "unix"
TIME_CHOICES = ((ISO, "ISO 8601, such as 2027-03-28T04:00:00+02:00"), (UNIX, "Unix seconds"))
ENCODING_CHOICES = (
    ("utf-8", "UTF-8"),
    ("utf-8-sig", "UTF-8 with a mark (for Excel)"),
    ("utf-16", "UTF-16"),
    ("iso-8859-1", "ISO-8859-1"),
    ("windows-1252", "Windows-1252"),
)
_MARKS = {"utf-8-sig": BOM_UTF8, "utf-16": BOM_UTF16_LE}
_CODECS = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Csv:
    """How a file is written. `delimiter` is one ASCII character."""

    delimiter: str = ","
    quoting: str = MINIMAL
    line_end: str = CRLF
    has_header: bool = True
    null_text: str = ""
    booleans: str = "true/false"
    times: str = ISO
    encoding: str = "utf-8"
    is_formula_safe: bool = False

    @property
    def codec(self) -> str:
        return _CODECS.get(self.encoding, self.encoding)

    @property
    def mark(self) -> bytes:
        return _MARKS.get(self.encoding, b"")

    @property
    def line_end_text(self) -> str:
        return "\r\n" if self.line_end == CRLF else "\n"


def check_delimiter(text: str) -> None:
    """Refuse a delimiter that would break the file."""
    if text.lower() == "tab":
        return
    if len(text) != 1 or not text.isascii() or not text.isprintable() or text in '" ' or text.isalnum():
        raise ValidationError("Write one sign such as , ; or |, or the word “tab”.")


def check_null_text(text: str, delimiter: str) -> None:
    """Refuse a text for missing values that a reader could not tell from other values."""
    if delimiter in text or any(letter in text for letter in '"\r\n'):
        raise ValidationError("The text for missing values holds no delimiter, quote or line end.")


def delimiter_of(text: str) -> str:
    """Return the character that a form's text means."""
    return "\t" if text.lower() == "tab" else text


def copy_options(form: Csv) -> tuple[str, dict[str, str]]:
    """Return what stands behind COPY's WITH, and its parameters."""
    force = ", FORCE_QUOTE *" if form.quoting == ALL else ""
    options = f"FORMAT csv, DELIMITER %(delimiter)s, NULL %(null_text)s, ENCODING 'UTF8'{force}"
    return options, {"delimiter": form.delimiter, "null_text": form.null_text}


def safe_text(text: str) -> str:
    """Return a text that a spreadsheet takes for text; the same rule as in the SQL of `exports.rows`."""
    return "'" + text if text.startswith(FORMULA_SIGNS) else text


def line(form: Csv, values: Iterable[str | None]) -> str:
    """Return one line of the file, without its end; None is a missing value. The way of COPY, for single lines."""
    return form.delimiter.join(_cell(form, value) for value in values)


def head(form: Csv, headers: Iterable[str]) -> bytes:
    """Return what each file of the set begins with: the mark of its encoding and the header line."""
    if not form.has_header:
        return form.mark
    return form.mark + (line(form, headers) + form.line_end_text).encode(form.codec, "replace")


@dataclass
class RowEncoder:
    """Rows of COPY (UTF-8, ended by LF) as rows of the file, with what the encoding could not hold.

    `identifier_columns` are the places whose loss loses the row; elsewhere `?` stands for what cannot be written.
    """

    form: Csv
    identifier_columns: frozenset[int] = frozenset()
    lost_rows: int = 0
    replaced_values: int = field(default=0)

    def encode(self, rows: Iterable[bytes]) -> Iterator[bytes]:
        if self.form.codec == "utf-8":
            return self._with_line_end(rows)
        return self._in_encoding(rows)

    def _with_line_end(self, rows: Iterable[bytes]) -> Iterator[bytes]:
        if self.form.line_end == LF:
            return iter(rows)
        return (row[:-1] + b"\r\n" for row in rows)

    def _in_encoding(self, rows: Iterable[bytes]) -> Iterator[bytes]:
        codec, end = self.form.codec, self.form.line_end_text
        for row in rows:
            text = row[:-1].decode()
            try:
                yield (text + end).encode(codec)
            except UnicodeEncodeError:
                rescued = self._rescue(text)
                if rescued is not None:
                    yield rescued + end.encode(codec)

    def _rescue(self, text: str) -> bytes | None:
        """Return the row with `?` for what cannot be written, or None where that would spoil an identifier."""
        codec = self.form.codec
        values = next(csv.reader(io.StringIO(text, newline=""), delimiter=self.form.delimiter))
        unwritable = [place for place, value in enumerate(values) if not _can_write(value, codec)]
        if self.identifier_columns.intersection(unwritable):
            self.lost_rows += 1
            return None
        self.replaced_values += len(unwritable)
        return text.encode(codec, "replace")


def _can_write(value: str, codec: str) -> bool:
    try:
        value.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _cell(form: Csv, value: str | None) -> str:
    if value is None:
        return form.null_text
    needs_quotes = value == form.null_text or any(sign in value for sign in (form.delimiter, '"', "\r", "\n"))
    if form.quoting == ALL or needs_quotes:
        return '"' + value.replace('"', '""') + '"'
    return value
