"""Facts in PostgreSQL for a rule to be asked about, and the answer of its compiled SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from audience.columns import batch_cursor, uuids
from audience.instants import Instant, instant
from audience.talk import Talk, reads, speak
from segments import asking
from segments.rules.compiling.sql import Sql
from segments.rules.timeline import Surroundings, compile_rule, values_of
from segments.rules.tree import Rule

Ranges = list[tuple[datetime, datetime | None]]


def ask(rule: Rule, id_: UUID, as_of: datetime, surroundings: Surroundings | None = None) -> Ranges:
    """Return the timeline of one profile or account; None is no end."""
    return ask_many(rule, [id_], as_of, surroundings)[id_]


def ask_many(
    rule: Rule, ids: Sequence[UUID], as_of: datetime, surroundings: Surroundings | None = None
) -> dict[UUID, Ranges]:
    """Return the timelines; each of the ways in which a rule is asked about many says the same."""
    compiled = compile_rule(rule, surroundings or Surroundings())
    found = answers(compiled.expression, rule.of, ids, as_of)
    question = asking.Question(segment_id=0, version=0, compiled=compiled, about=[id_.bytes for id_ in ids])
    for way in (asking.ask, _ask_crowd) if ids else ():
        with batch_cursor(connection.connection) as cursor:
            told = speak(cursor, way([question], instant(as_of)))
        if not told:
            continue
        again = {UUID(bytes=answer.id): _read(answer.ranges) for answer in told}
        assert {id_: again.get(id_, []) for id_ in ids} == found, way
    return found


def _ask_crowd(questions: Sequence[asking.Question], at: Instant) -> Talk[list[asking.Answer]]:
    """Ask as a build does, whose answers do not leave the database."""
    (question,) = questions
    if (crowded := question.compiled.crowded) is None:
        return []
    crowd = asking.crowd(crowded, uuids(sorted(question.about)), at)
    ask = reads(f"SELECT 0, a.profile_id, a.ranges::text FROM ({crowd.text}) a")
    (rows,) = yield asking.as_a_whole(ask(*crowd.values))
    return [asking.Answer(*row) for row in rows]


def _read(text: str) -> Ranges:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::tstzmultirange", [text])
        return ranges(cursor.fetchone()[0])


def answers(expression: Sql, of: str, ids: Sequence[UUID], as_of: datetime) -> dict[UUID, Ranges]:
    statement = f"SELECT s.{of}_id, {expression.text} FROM unnest(%s::uuid[]) AS s({of}_id)"
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values_of(expression, as_of), [str(id_) for id_ in ids]])
        return {id_: ranges(found) for id_, found in cursor.fetchall()}


def ranges(found: Any) -> Ranges:
    """Return a multirange as pairs; each of them is half-open and none touches another."""
    assert all(one.bounds == "[)" for one in found), found
    return [(one.lower, one.upper) for one in found]
