"""What one advertiser's rules can ask about, for whoever reads a rule: its names, and how large a rule may be."""

from collections.abc import Collection, Mapping
from functools import cached_property

from django.conf import settings
from django.db import connection

from segments.event_counts import event_counts
from segments.rules.fields import AttributeType
from segments.rules.limits import Limits
from segments.rules.nodes import segments_named
from segments.rules.reading.rules import Reading, read
from segments.rules.timeline import OtherSegment, RuledSegment, Surroundings
from segments.rules.tree import Of
from segments.rules.values import Name

# The type of an attribute is that of the values which the newest people, or companies, have.
ASKED_FOR_TYPES = 1_000
_KIND = """
    CASE jsonb_typeof(t.value)
    WHEN 'string' THEN CASE
        WHEN segments_day(t.value #>> '{}') IS NOT NULL THEN 'day'
        WHEN segments_instant(t.value #>> '{}') IS NOT NULL THEN 'date'
        WHEN segments_number(t.value) IS NOT NULL THEN 'decimal'
        WHEN segments_is_known(t.value) THEN 'text' END
    WHEN 'array' THEN CASE
        WHEN jsonb_typeof(t.value -> 0) = 'object' THEN 'records'
        WHEN t.value <> '[]' THEN 'list' END
    WHEN 'null' THEN NULL
    ELSE jsonb_typeof(t.value) END
"""
_KINDS = """
    SELECT n.name, array_remove(array_agg(DISTINCT a.kind), NULL)
    FROM audience_attributename n LEFT JOIN (
        SELECT t.name, {kind} AS kind FROM (
            SELECT id FROM audience_{of} WHERE advertiser_id = %s ORDER BY id DESC LIMIT %s
        ) newest JOIN {table} t ON t.{of}_id = newest.id
    ) a ON a.name = n.name
    WHERE n.advertiser_id = %s AND n.of = %s GROUP BY n.name ORDER BY n.name
"""
_TABLES: dict[Of, str] = {"profile": "audience_attribute", "account": "audience_accountattribute"}
# A text that is a decimal may be asked about as either, and so may whatever comes in several kinds.
_TYPES: dict[frozenset[str], AttributeType] = {
    frozenset({"text"}): "text",
    frozenset({"number"}): "number",
    frozenset({"boolean"}): "boolean",
    frozenset({"day"}): "day",
    frozenset({"date"}): "date",
    frozenset({"day", "date"}): "date",
    frozenset({"list"}): "list",
    frozenset({"records"}): "records",
}


class Knowledge:
    """The catalogue of one advertiser (`rules.catalogue.Catalogue`), each part read when it is first asked for.

    Promise: every answer is of that advertiser alone.
    """

    def __init__(self, advertiser_id: int, surroundings: Surroundings) -> None:
        self._advertiser_id = advertiser_id
        self._surroundings = surroundings

    def retention_days(self) -> int | None:
        kept = self._surroundings.retention
        return None if kept is None else kept.days

    def event_counts(self) -> Mapping[str, int]:
        return self._event_counts

    def attributes(self, of: Of) -> Mapping[Name, AttributeType | None]:
        return self._attributes_of_profiles if of == "profile" else self._attributes_of_accounts

    def segments(self, of: Of) -> Collection[str]:
        return [key for key, other in self._surroundings.segments.items() if _of(other) == of]

    def segments_used_by(self, key: str) -> Collection[str]:
        other = self._surroundings.segments.get(key)
        return segments_named(other.rule) if isinstance(other, RuledSegment) else ()

    @cached_property
    def _event_counts(self) -> Mapping[str, int]:
        return event_counts(self._advertiser_id)

    @cached_property
    def _attributes_of_profiles(self) -> Mapping[Name, AttributeType | None]:
        return self._read_attributes("profile")

    @cached_property
    def _attributes_of_accounts(self) -> Mapping[Name, AttributeType | None]:
        return self._read_attributes("account")

    def _read_attributes(self, of: Of) -> Mapping[Name, AttributeType | None]:
        statement = _KINDS.format(of=of, kind=_KIND, table=_TABLES[of])
        with connection.cursor() as cursor:
            cursor.execute(statement, [self._advertiser_id, ASKED_FOR_TYPES, self._advertiser_id, of])
            return {(name,): _TYPES.get(frozenset(kinds)) for name, kinds in cursor.fetchall()}


def _of(other: OtherSegment) -> Of:
    """Return what the members of a segment are."""
    return other.rule.of if isinstance(other, RuledSegment) else other.of


def limits() -> Limits:
    """Return how large a rule may be, as the installation's settings say."""
    return Limits(
        nodes=settings.MUSTER_RULE_CONDITIONS,
        depth=settings.MUSTER_RULE_DEPTH,
        saved_bytes=settings.MUSTER_RULE_BYTES,
        filters=settings.MUSTER_RULE_FILTERS,
        count=settings.MUSTER_RULE_COUNT,
        steps=settings.MUSTER_RULE_STEPS,
        window_days=settings.MUSTER_RULE_WINDOW_DAYS,
        list_values=settings.MUSTER_RULE_LIST_VALUES,
        text=settings.MUSTER_RULE_TEXT,
        pattern=settings.MUSTER_RULE_PATTERN,
        segments=settings.MUSTER_RULE_SEGMENTS,
    )


def read_rule(text: str, advertiser_id: int, surroundings: Surroundings, *, own_key: str | None = None) -> Reading:
    """Return the rule that a text says to an advertiser; raise `RuleRefused` with all that is wrong with it."""
    return read(text, Knowledge(advertiser_id, surroundings), limits=limits(), own_key=own_key)
