"""What the API tells of a segment by a rule: the rule, what is being built of it, how fresh it is, what uses it."""

import json
from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audience.teams import Seat
from segments.admin.neighbours import uses_of
from segments.api.rule_bodies import text_of
from segments.checking import english_of
from segments.editing import newest_versions
from segments.freshness import Freshness
from segments.models import RuleVersion, Segment
from segments.rules.english import English
from segments.rules.refusals import RuleRefused
from segments.surroundings import rule_of, surroundings_of
from segments.versions import users_of


class Rules:
    """The newest rules of an advertiser's segments, each read when it is first asked for, or many at once."""

    def __init__(self, advertiser_id: int) -> None:
        self._advertiser_id = advertiser_id
        self._versions: dict[int, RuleVersion] = {}

    def read(self, segments: Collection[Segment]) -> None:
        """Read the rules of segments, in one statement."""
        ids = [segment.pk for segment in segments if segment.kind == Segment.Kind.RULE]
        if ids:
            self._versions |= newest_versions(ids)

    def of(self, segment: Segment) -> RuleVersion | None:
        """Return the version that is meant, see `segments.editing`; None for a segment without a rule."""
        if segment.pk not in self._versions:
            self.read([segment])
        return self._versions.get(segment.pk)

    def sentence_of(self, version: RuleVersion) -> str | None:
        """Return a rule as English; None where this version of Muster cannot read it."""
        try:
            return self._english.sentence(rule_of(version.rule))
        except RuleRefused:
            return None

    @cached_property
    def _english(self) -> English:
        return english_of(surroundings_of(self._advertiser_id))


@extend_schema_field({"type": ["object", "string"], "additionalProperties": {}})
class RuleField(serializers.JSONField):
    """A rule: an object as in `GET /rules/schema`, or its JSON as a text. Its value is the text, which is read."""

    def get_attribute(self, instance: Segment) -> Any:
        version = self.context["rules"].of(instance)
        return version and json.loads(version.rule)

    def to_internal_value(self, data: Any) -> Any:
        return text_of(super().to_internal_value(data))


class BuildSerializer(serializers.Serializer[Any]):
    """A version that is to serve and does not yet."""

    version = serializers.IntegerField()
    state = serializers.ChoiceField(
        choices=["building", "stopped", "failed"],
        help_text="stopped, failed: `POST …/build/resume`, `…/build/retry`.",
    )
    began_at = serializers.DateTimeField()
    profiles_done = serializers.IntegerField()
    profiles_total = serializers.IntegerField(help_text="0 until it was counted.")
    share = serializers.FloatField(help_text="0 to 1.")
    message = serializers.CharField(allow_null=True, help_text="Why it failed.")


class FreshnessSerializer(serializers.Serializer[Any]):
    """Which version serves, since when, and how far joins and leaves by time are behind. Reads never are."""

    serving_version = serializers.IntegerField(allow_null=True, help_text="Null before the first one is built.")
    complete_since = serializers.DateTimeField(allow_null=True)
    broken = serializers.CharField(allow_null=True, help_text="Why its rule takes nobody in any more.")
    behind_seconds = serializers.FloatField(help_text="The age of the oldest change by time that is not told yet.")
    next_change_at = serializers.DateTimeField(
        allow_null=True, help_text="When time changes it next; null also where that was not found at once."
    )
    as_of = serializers.DateTimeField()


class UseSerializer(serializers.Serializer[Any]):
    """Something that uses the segment."""

    kind = serializers.CharField(help_text="segment, pixel, export.")
    name = serializers.CharField()
    does = serializers.CharField()


def freshness_shown(fresh: Freshness, as_of: datetime) -> dict[str, Any]:
    """Return how fresh a segment is, as `FreshnessSerializer` has it."""
    return {
        "serving_version": fresh.serving and fresh.serving.number,
        "complete_since": fresh.serving and fresh.serving.complete_since,
        "broken": fresh.broken or None,
        "behind_seconds": fresh.behind.total_seconds(),
        "next_change_at": fresh.next_change,
        "as_of": as_of,
    }


def build_of(fresh: Freshness) -> dict[str, Any] | None:
    """Return what is being built, or could not be; None where nothing is to do."""
    version, counted = fresh.building or fresh.failed, fresh.progress or fresh.failed
    if version is None or counted is None:
        return None
    state = "failed" if fresh.building is None else "stopped" if counted.stopped_at else "building"
    done, total = counted.profiles_done, counted.profiles_total
    return {
        "version": version.number,
        "state": state,
        "began_at": version.created_at,
        "profiles_done": done,
        "profiles_total": total,
        "share": min(done / total, 1.0) if total else 0.0,
        "message": version.failure or None,
    }


def uses_shown(segment: Segment, seat: Seat) -> list[dict[str, str]]:
    """Return what uses a segment, as far as the caller may see it: rules of other segments first."""
    users = {version.segment_id: version.segment.name for version in users_of(segment)}
    found = [{"kind": "segment", "name": name, "does": "asks for it in its rule"} for name in users.values()]
    others = [use for use in uses_of(segment) if seat.is_at_least(use.role)]
    return found + [{"kind": use.kind.lower(), "name": use.name, "does": use.detail} for use in others]
