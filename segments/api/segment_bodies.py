"""A segment as JSON: what is told of it, and what may be sent."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audience.api.serializers import RowSerializer
from segments.api.rule_bodies import RULE_EXAMPLE, SENTENCE_EXAMPLE
from segments.api.ruled import (
    BuildSerializer,
    FreshnessSerializer,
    RuleField,
    Rules,
    UseSerializer,
    build_of,
    freshness_shown,
    uses_shown,
)
from segments.api.versions import refusals
from segments.counts import sizes
from segments.editing import change_segment, check_change
from segments.freshness import freshness_of
from segments.models import Segment

SEGMENT_EXAMPLE = {
    "id": 12,
    "name": "Cart",
    "code": "cart",
    "kind": "pixel",
    "of": "profile",
    "description": "",
    "lifetime_minutes": 43200,
    "longest_lifetime_minutes": None,
    "refire": "restart",
    "value_from": None,
    "value_to": None,
    "re_add": "replace",
    "write_mode": "domains",
    "domains": ["shop.example"],
    "are_domains_enforced": False,
    "removing": "as_adding",
    "is_readable_on_page": False,
    "id_syncs_per_fire": 0,
    "is_active": True,
    "created_at": "2026-11-20T08:00:00Z",
    "size": 5120,
    "rule": None,
    "sentence": None,
    "version": None,
}
KNOWN_EXAMPLE = SEGMENT_EXAMPLE | {
    "build": None,
    "freshness": None,
    "used_by": [{"kind": "segment", "name": "Buyers", "does": "asks for it in its rule"}],
}
RULED_EXAMPLE = KNOWN_EXAMPLE | {
    "id": 13,
    "name": "Loyal",
    "code": "loyal",
    "kind": "rule",
    "write_mode": "domains",
    "domains": [],
    "size": 804,
    "rule": RULE_EXAMPLE,
    "sentence": SENTENCE_EXAMPLE,
    "version": 4,
    "build": {
        "version": 4,
        "state": "building",
        "began_at": "2026-11-22T10:15:02Z",
        "profiles_done": 620000,
        "profiles_total": 1000000,
        "share": 0.62,
        "message": None,
    },
    "freshness": {
        "serving_version": 3,
        "complete_since": "2026-11-20T08:01:12Z",
        "broken": None,
        "behind_seconds": 2.0,
        "next_change_at": "2026-11-22T10:17:40Z",
        "as_of": "2026-11-22T10:16:00Z",
    },
    "used_by": [],
}


class SegmentSerializer(RowSerializer):
    """A named group of profiles, or of accounts. Its id is its number in tags."""

    kind = serializers.ChoiceField(
        choices=Segment.Kind.choices, required=False, help_text="How people come in. It stays as it was made."
    )
    size = serializers.SerializerMethodField(help_text="How many profiles, or accounts, are in now.")
    rule = RuleField(
        required=False,
        allow_null=True,
        help_text="By a rule: an object as in `GET /rules/schema`, or its JSON as a text. Else null.",
    )
    based_on = serializers.IntegerField(
        write_only=True,
        required=False,
        help_text="The `version` that `rule` was changed from: 409 `overtaken` if there is a newer one.",
    )
    sentence = serializers.SerializerMethodField(help_text="The rule as English.")
    version = serializers.SerializerMethodField(help_text="The rule's version, see `build` for whether it serves.")

    class Meta:
        model = Segment
        fields: tuple[str, ...] = (*SEGMENT_EXAMPLE, "based_on")
        read_only_fields: tuple[str, ...] = ("of", "created_at")

    def get_size(self, segment: Segment) -> int:
        known: dict[int, int] = self.context.get("sizes", {})
        if segment.pk not in known:
            known |= sizes([segment], timezone.now())
        return known[segment.pk]

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_sentence(self, segment: Segment) -> str | None:
        rules: Rules = self.context["rules"]
        version = rules.of(segment)
        return rules.sentence_of(version) if version else None

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_version(self, segment: Segment) -> int | None:
        rules: Rules = self.context["rules"]
        version = rules.of(segment)
        return version.number if version else None

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None:
            attributes.pop("kind", None)  # for good: like what is only read, it is taken and left as it is
        kind = self.instance.kind if self.instance else attributes.get("kind", Segment.Kind.PIXEL)
        rule = attributes.get("rule")
        if kind == Segment.Kind.PIXEL and rule is not None:
            raise serializers.ValidationError({"rule": "Only a segment of the kind “rule” has one."})
        if kind == Segment.Kind.RULE and rule is None and ("rule" in attributes or not self.instance):
            raise serializers.ValidationError({"rule": "A segment of the kind “rule” needs one."})
        return super().validate(attributes)

    def check(self, row: Any) -> None:
        super().check(row)
        check_change(self.instance, row)

    def create(self, validated_data: dict[str, Any]) -> Segment:
        kind = validated_data.pop("kind", Segment.Kind.PIXEL)
        return self.update(Segment(advertiser=self.context["view"].seat.advertiser, kind=kind), validated_data)

    def update(self, instance: Segment, validated_data: dict[str, Any]) -> Segment:
        rule, based_on = validated_data.pop("rule", None), validated_data.pop("based_on", None)
        with refusals():
            change_segment(instance, validated_data, rule=rule, based_on=based_on)
        return Segment.objects.get(pk=instance.pk)


class KnownSegmentSerializer(SegmentSerializer):
    """A segment with the state of its rule and with what uses it."""

    build = serializers.SerializerMethodField(help_text="What is to serve and does not yet; null: nothing.")
    freshness = serializers.SerializerMethodField(help_text="Null for a segment that people are put into.")
    used_by = serializers.SerializerMethodField(help_text="Rules that use it keep it from being deleted.")

    class Meta(SegmentSerializer.Meta):
        fields = (*KNOWN_EXAMPLE, "based_on")

    def to_representation(self, instance: Segment) -> Any:
        self._as_of = timezone.now()
        self._fresh = freshness_of(instance, self._as_of) if instance.kind == Segment.Kind.RULE else None
        return super().to_representation(instance)

    @extend_schema_field(BuildSerializer(allow_null=True))
    def get_build(self, _: Segment) -> Any:
        built = self._fresh and build_of(self._fresh)
        return built and BuildSerializer(built).data

    @extend_schema_field(FreshnessSerializer(allow_null=True))
    def get_freshness(self, _: Segment) -> Any:
        return self._fresh and FreshnessSerializer(freshness_shown(self._fresh, self._as_of)).data

    @extend_schema_field(UseSerializer(many=True))
    def get_used_by(self, segment: Segment) -> Any:
        return UseSerializer(uses_shown(segment, self.context["view"].seat), many=True).data
