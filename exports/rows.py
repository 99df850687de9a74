"""Members as rows: the SQL of one file, read from one snapshot by COPY in the order of the profiles' ids.

Law: who is a member is the predicate of `segments.membership`, at the one instant T of the run. What a person typed
travels in parameters. Values come out as text the way the file shows them, so that no row is touched in Python.

Shape: `people` has one row for each row-to-be with its segments and times; `known` has each person's identifiers, the
newest first, read in one pass. The planner chooses between nested loops (a small segment) and merge joins (a large
one); on `membership_of_segment` the rows of one segment come in order of profile without a sort.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from django.db import connection, transaction

from exports import formats
from exports.columns import BY_CODE, CONSTANT, IDENTIFIER, ROWS, Column
from exports.models import Export
from exports.plan import Chosen, Plan
from segments.membership import ENDS_AT_SQL, HOLDS_SQL

Layout = Export.Layout
LIST_SEPARATOR = "|"

_MEMBERS = f"""
    SELECT m.profile_id, m.segment_id, m.starts_at, {ENDS_AT_SQL} AS ends_at, m.value, m.last_added_at
    FROM segments_membership m
    WHERE m.advertiser_id = %(advertiser)s AND {{which}} AND {HOLDS_SQL}
"""  # noqa: S608 -- constants of ours
_ONE_SEGMENT = "m.segment_id = %(segment)s AND m.version = %(version)s"
_SEVERAL = "(m.segment_id, m.version) IN (SELECT * FROM unnest(%(segments)s::bigint[], %(versions)s::int[]))"
_NAMED = """
    SELECT * FROM unnest(%(segments)s::bigint[], %(codes)s::text[], %(names)s::text[])
        WITH ORDINALITY AS named(id, code, name, place)
"""
_PEOPLE_OF_ONE_SEGMENT = """
    SELECT m.*, TRUE AS is_member, m.segment_id::text AS segment_ids, (%(codes)s::text[])[1] AS segment_codes,
        (%(names)s::text[])[1] AS segment_names
    FROM members m
"""
_PEOPLE_BY_SEGMENT = """
    SELECT m.*, TRUE AS is_member, m.segment_id::text AS segment_ids, s.code AS segment_codes, s.name AS segment_names
    FROM members m JOIN named s ON s.id = m.segment_id
"""
_PEOPLE_ONCE = """
    SELECT m.profile_id, min(m.starts_at) AS starts_at,
        CASE WHEN bool_and(m.ends_at IS NOT NULL) THEN max(m.ends_at) END AS ends_at, max(m.value) AS value,
        max(m.last_added_at) AS last_added_at, TRUE AS is_member, array_agg(m.segment_id) AS segments,
        string_agg(s.id::text, %(separator)s ORDER BY s.place) AS segment_ids,
        string_agg(s.code, %(separator)s ORDER BY s.place) AS segment_codes,
        string_agg(s.name, %(separator)s ORDER BY s.place) AS segment_names
    FROM members m JOIN named s ON s.id = m.segment_id GROUP BY m.profile_id
"""
_KNOWN = """
    SELECT p.profile_id{arrays}
    FROM {whose} p JOIN audience_identifier i ON i.profile_id = p.profile_id
    WHERE i.advertiser_id = %(advertiser)s AND i.kind = ANY(%(kinds)s::text[])
    GROUP BY p.profile_id
"""
_VALUES_OF_KIND = """,
        array_agg(i.value ORDER BY i.last_seen_at DESC, i.id) FILTER (WHERE i.kind = %({kind})s) AS {kind}"""
_HAS_KIND = """EXISTS (SELECT FROM audience_identifier i WHERE i.advertiser_id = %(advertiser)s
        AND i.profile_id = p.profile_id AND i.kind = %({kind})s)"""
_ISO = """'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM'"""


@dataclass(frozen=True)
class Head:
    """How many people are in, and how many of them have every identifier that is required."""

    members: int
    valid: int


@dataclass
class Snapshot:
    """One transaction's view of the audience: every file of a run is read from the same one."""

    at: datetime
    cursor: "psycopg.ClientCursor[Any]"

    def versions(self, segments: tuple[Chosen, ...]) -> dict[int, int]:
        """Return the version of each segment whose members count."""
        ids = [segment.id for segment in segments]
        self.cursor.execute("SELECT id, active_version FROM segments_segment WHERE id = ANY(%s)", [ids])
        return dict(self.cursor.fetchall())

    def count(self, plan: Plan) -> Head:
        """Count the people of one file."""
        query = _Query(plan, self.at)
        self.cursor.execute(query.counting(), query.params)
        members, valid = self.cursor.fetchone() or (0, 0)
        return Head(members, valid)

    def rows(self, plan: Plan, *, limit: int | None = None) -> Iterator[bytes]:
        """Yield the rows of one file as COPY writes them: UTF-8, each ended by LF."""
        query = _Query(plan, self.at)
        options, params = formats.copy_options(plan.form)
        self.cursor.execute("SELECT set_config('TimeZone', %s, true)", [plan.zone])
        statement = f"COPY ({query.selecting(limit)}) TO STDOUT WITH ({options})"
        with self.cursor.copy(statement, query.params | params) as copy:
            # As bytes at once: a block of waiting memoryviews costs three times the processor time.
            yield from map(bytes, copy)


@contextmanager
def snapshot() -> Iterator[Snapshot]:
    """Open a read-only snapshot; it ends with the block. Its instant is T."""
    with transaction.atomic(durable=True):
        connection.ensure_connection()
        with psycopg.ClientCursor(connection.connection) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT now()")
            (at,) = cursor.fetchall()[0]
            yield Snapshot(at, cursor)


@dataclass
class _Query:
    """The statements of one file and their parameters."""

    plan: Plan
    at: datetime
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        segments = self.plan.segments
        self.params |= {
            "at": self.at,
            "advertiser": self.plan.advertiser_id,
            "segment": segments[0].id,
            "version": segments[0].version,
            "segments": [segment.id for segment in segments],
            "versions": [segment.version for segment in segments],
            "codes": [segment.code for segment in segments],
            "names": [segment.name for segment in segments],
            "separator": LIST_SEPARATOR,
        }
        self._kinds = {
            kind: f"kind_{place}"
            for place, kind in enumerate(dict.fromkeys(column.identifier_kind for column in self._identifiers()))
        }
        self.params |= {name: kind for kind, name in self._kinds.items()} | {"kinds": list(self._kinds)}

    def selecting(self, limit: int | None) -> str:
        """Return the statement of the rows."""
        required = [f"k.{self._kinds[column.identifier_kind]} IS NOT NULL" for column in self._required()]
        where = f"WHERE {' AND '.join(required)}" if required else ""
        order = ["p.profile_id"]
        if self.plan.layout == Layout.SEGMENT_COLUMN:
            order.append("p.segment_id")
        joins = "LEFT JOIN known k ON k.profile_id = p.profile_id" if self._kinds else ""
        each = next((column for column in self._identifiers() if column.values == ROWS), None)
        if each is not None:
            values = f"coalesce(k.{self._kinds[each.identifier_kind]}, ARRAY[NULL]::text[])"
            joins += f" CROSS JOIN LATERAL unnest({values}) WITH ORDINALITY AS each(value, place)"
            order.append("each.place")
        known = f", known AS ({self._known()})" if self._kinds else ""
        if limit is not None:
            self.params["limit"] = limit
        cells, by, most = ", ".join(self._cells()), ", ".join(order), "" if limit is None else "LIMIT %(limit)s"
        return f"{self._people()}{known} SELECT {cells} FROM people p {joins} {where} ORDER BY {by} {most}"  # noqa: S608 -- constants

    def counting(self) -> str:
        """Return the statement that counts persons."""
        person = "*" if self._has_one_row_a_person() else "DISTINCT p.profile_id"
        kinds = {self._kinds[column.identifier_kind] for column in self._required()}
        condition = " AND ".join(_HAS_KIND.format(kind=kind) for kind in sorted(kinds)) or "TRUE"
        counts = f"count({person}), count({person}) FILTER (WHERE {condition})"
        return f"{self._people()} SELECT {counts} FROM people p"  # noqa: S608 -- constants of ours

    def _people(self) -> str:
        which = _ONE_SEGMENT if len(self.plan.segments) == 1 else _SEVERAL
        members = f"WITH members AS NOT MATERIALIZED ({_MEMBERS.format(which=which)})"
        if self._is_of_one_segment():
            return f"{members}, people AS NOT MATERIALIZED ({_PEOPLE_OF_ONE_SEGMENT})"
        people = _PEOPLE_BY_SEGMENT if self.plan.layout == Layout.SEGMENT_COLUMN else _PEOPLE_ONCE
        return f"{members}, named AS ({_NAMED}), people AS NOT MATERIALIZED ({people})"

    def _known(self) -> str:
        arrays = "".join(_VALUES_OF_KIND.format(kind=name) for name in self._kinds.values())
        whose = "people" if self._has_one_row_a_person() else "(SELECT DISTINCT profile_id FROM people)"
        return _KNOWN.format(arrays=arrays, whose=whose)

    def _cells(self) -> list[str]:
        cells = [cell for place, column in enumerate(self.plan.columns) for cell in self._cells_of(place, column)]
        if self.plan.has_flags:
            cells += [self._flag(place, segment) for place, segment in enumerate(self.plan.segments)]
        return cells

    def _cells_of(self, place: int, column: Column) -> list[str]:
        if column.source == CONSTANT:
            text = formats.safe_text(column.constant) if self.plan.form.is_formula_safe else column.constant
            self.params[f"constant_{place}"] = text
            return [f"%(constant_{place})s"]
        if column.source != IDENTIFIER:
            return [self._cell(f"p.{BY_CODE[column.source].field}", column.kind)]
        if column.values == ROWS:
            return ["each.value"]
        return [f"k.{self._kinds[column.identifier_kind]}[{number}]" for number in range(1, column.width + 1)]

    def _cell(self, value: str, kind: str) -> str:
        form = self.plan.form
        if kind == "time" and form.times == formats.UNIX:
            return f"floor(extract(epoch FROM {value}))::bigint"
        if kind == "time":
            return f"to_char({value}, {_ISO})"
        if kind == "boolean":
            return self._boolean(value)
        if kind == "text" and form.is_formula_safe:
            return f"CASE WHEN {value} ~ '^[-=+@\\t\\r]' THEN '''' || {value} ELSE {value} END"
        return value

    def _flag(self, place: int, segment: Chosen) -> str:
        self.params[f"flag_{place}"] = segment.id
        return self._boolean(f"%(flag_{place})s = ANY(p.segments)")

    def _boolean(self, condition: str) -> str:
        self.params["yes"], self.params["no"] = self.plan.form.booleans.split("/")
        return f"CASE WHEN {condition} THEN %(yes)s ELSE %(no)s END"

    def _identifiers(self) -> list[Column]:
        return [column for column in self.plan.columns if column.source == IDENTIFIER]

    def _required(self) -> list[Column]:
        return [column for column in self._identifiers() if column.is_required]

    def _is_of_one_segment(self) -> bool:
        return len(self.plan.segments) == 1 and self.plan.layout in (Layout.FILE_PER_SEGMENT, Layout.SEGMENT_COLUMN)

    def _has_one_row_a_person(self) -> bool:
        return self._is_of_one_segment() or self.plan.layout in (Layout.SEGMENT_LIST, Layout.SEGMENT_FLAGS)
