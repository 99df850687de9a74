"""What a column of a file can hold.

One row per source feeds the form, the usual header, the SQL and the tests. Attributes of profiles and accounts come
with them; their place is in this table.
"""

from dataclasses import dataclass

IDENTIFIER, CONSTANT, MEMBER = "identifier", "constant", "member"
SEGMENT_ID, SEGMENT_CODE, SEGMENT_NAME = "segment_id", "segment_code", "segment_name"

NEWEST, COLUMNS, ROWS = "newest", "columns", "rows"
VALUES_CHOICES = (
    (NEWEST, "The newest"),
    (COLUMNS, "A column for each, up to a number"),
    (ROWS, "A row for each"),
)
MOST_VALUES = 10
MOST_COLUMNS = 120


@dataclass(frozen=True)
class Source:
    """One row of the table; `field` is what it reads of the relation `people` of `exports.rows`.

    `kind` says how the value is written: text (which a spreadsheet might run), identifier, time, number, boolean.
    """

    code: str
    label: str
    header: str
    kind: str
    field: str = ""


SOURCES: tuple[Source, ...] = (
    Source(IDENTIFIER, "Identifier", "", "identifier"),
    Source("starts_at", "In since", "starts_at", "time", "starts_at"),
    Source("expires_at", "In until", "expires_at", "time", "ends_at"),
    Source("value", "Value", "value", "number", "value"),
    Source("last_added_at", "Last added", "last_added_at", "time", "last_added_at"),
    Source(MEMBER, "Member (true or false)", "member", "boolean", "is_member"),
    Source(SEGMENT_ID, "Segment number", "segment_id", "number", "segment_ids"),
    Source(SEGMENT_CODE, "Segment code", "segment_code", "text", "segment_codes"),
    Source(SEGMENT_NAME, "Segment name", "segment_name", "text", "segment_names"),
    Source(CONSTANT, "Constant text", "constant", "text"),
)
BY_CODE = {source.code: source for source in SOURCES}
CHOICES = tuple((source.code, source.label) for source in SOURCES)
SEGMENT_SOURCES = frozenset({SEGMENT_ID, SEGMENT_CODE, SEGMENT_NAME})


@dataclass(frozen=True)
class Column:
    """One column as a run writes it."""

    source: str
    header: str
    identifier_kind: str = ""
    values: str = NEWEST
    count: int = 1
    is_required: bool = False
    constant: str = ""

    @property
    def kind(self) -> str:
        return BY_CODE[self.source].kind

    @property
    def width(self) -> int:
        """How many columns of the file it takes."""
        return self.count if self.source == IDENTIFIER and self.values == COLUMNS else 1

    def headers(self) -> list[str]:
        if self.width == 1:
            return [self.header]
        return [f"{self.header}_{number}" for number in range(1, self.width + 1)]


def usual_header(source: str, identifier_kind: str) -> str:
    """Return what a column is called where nobody chose a header."""
    return identifier_kind.replace(":", "_") if source == IDENTIFIER else BY_CODE[source].header
