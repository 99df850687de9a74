"""Facts in PostgreSQL for a rule to be asked about, and the answer of its compiled SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

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
    compiled = compile_rule(rule, surroundings or Surroundings())
    return answers(compiled.expression, rule.of, ids, as_of)


def answers(expression: Sql, of: str, ids: Sequence[UUID], as_of: datetime) -> dict[UUID, Ranges]:
    statement = f"SELECT s.{of}_id, {expression.text} FROM unnest(%s::uuid[]) AS s({of}_id)"
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values_of(expression, as_of), [str(id_) for id_ in ids]])
        return {id_: ranges(found) for id_, found in cursor.fetchall()}


def ranges(found: Any) -> Ranges:
    """Return a multirange as pairs; each of them is half-open and none touches another."""
    assert all(one.bounds == "[)" for one in found), found
    return [(one.lower, one.upper) for one in found]
