"""A catalogue of an advertiser that there is not, and rules in a few words."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from segments.rules.fields import AttributeType
from segments.rules.reading.rules import Reading, read
from segments.rules.refusals import Problem, RuleRefused
from segments.rules.tree import Of
from segments.rules.values import Name


@dataclass(frozen=True)
class Known:
    """A catalogue of what it is given."""

    kept_days: int | None = None
    events: Mapping[str, int] | None = None
    attributes_of_profiles: Mapping[Name, AttributeType | None] | None = None
    used: Mapping[str, Collection[str]] = field(default_factory=dict)

    def retention_days(self) -> int | None:
        return self.kept_days

    def event_counts(self) -> Mapping[str, int] | None:
        return self.events

    def attributes(self, of: Of) -> Mapping[Name, AttributeType | None] | None:
        return self.attributes_of_profiles if of == "profile" else None

    def segments(self, of: Of) -> Collection[str] | None:
        return list(self.used) or None

    def segments_used_by(self, key: str) -> Collection[str]:
        return self.used.get(key, ())


def rule_text(node: object, *, of: Of = "profile", zone: str = "advertiser") -> str:
    return json.dumps({"muster_rule": 1, "of": of, "zone": zone, "rule": node})


def reading_of(
    node: object, catalogue: Known | None = None, *, of: Of = "profile", own_key: str | None = None
) -> Reading:
    return read(rule_text(node, of=of), catalogue, own_key=own_key)


def problems_of(text: str, catalogue: Known | None = None, *, own_key: str | None = None) -> tuple[Problem, ...]:
    """Return what is wrong with a rule, nothing where it reads."""
    try:
        read(text, catalogue, own_key=own_key)
    except RuleRefused as refused:
        return refused.problems
    return ()
