"""Why somebody is in a segment, or out of it, by the rule that serves."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.finding import profile_after_merge
from audience.models import Profile
from segments.api.profiles import known_by
from segments.api.rule_answers import WHY_EXAMPLE, WhySerializer
from segments.api.rule_bodies import in_time
from segments.api.transitions import CAUSE_EXAMPLE, CauseSerializer
from segments.api.versions import VersionActions
from segments.models import RuleVersion, Segment, Transition
from segments.preview import TOO_SLOW
from segments.surroundings import rule_of, surroundings_of
from segments.transitions import deciding, tell
from segments.why import NotThere, explain

PARAMETERS = (
    OpenApiParameter("profile", OpenApiTypes.UUID, description="Whose it is, by the profile's id."),
    OpenApiParameter("kind", description="Or by an identifier: its kind, such as customer_id,"),
    OpenApiParameter(
        "value", description="and its value. Addresses end in logs: `POST /profiles/find` finds the id."
    ),
)
_WHY = WHY_EXAMPLE | {
    "segment": 12,
    "version": 4,
    "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11",
    "last_transition": {
        "type": "segment.joined",
        "at": "2026-11-20T11:00:00Z",
        "cause": CAUSE_EXAMPLE,
        "decided_by": [["rule", "all_of", 0]],
    },
}


class Somebody(serializers.Serializer[Any]):
    """Who is meant: by the profile's id, or by an identifier."""

    profile = serializers.UUIDField(required=False)
    kind = serializers.CharField(required=False)
    value = serializers.CharField(required=False)

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        if set(attributes) not in ({"profile"}, {"kind", "value"}):
            raise serializers.ValidationError("Name somebody by “profile”, or by “kind” and “value”.")
        return attributes

    def profile_id(self) -> UUID | None:
        """Return the id of the profile that is meant now; None where nobody is."""
        sent = self.validated_data
        if "profile" in sent:
            return profile_after_merge(sent["profile"]) or sent["profile"]
        found: UUID | None = known_by(Profile.objects.all(), **sent).values_list("pk", flat=True).first()
        return found


class LastTransitionSerializer(serializers.Serializer[Any]):
    """When the profile joined or left last, and what brought it."""

    type = serializers.SerializerMethodField()
    at = serializers.DateTimeField()
    cause = CauseSerializer(source="*")
    decided_by = serializers.SerializerMethodField(
        help_text="The `path` of each condition that decided; none where the whole rule did, or long ago."
    )

    @extend_schema_field(serializers.ListField(child=serializers.ListField()))
    def get_decided_by(self, transition: Transition) -> list[list[str | int]]:
        return [list(path) for path in deciding(transition)]

    @extend_schema_field({"type": "string", "enum": ["segment.joined", "segment.left"]})
    def get_type(self, transition: Transition) -> str:
        return transition.type


class WhyInSerializer(WhySerializer):
    """Why a profile is in a segment or out of it."""

    segment = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField(help_text="The version that serves.")
    profile = serializers.SerializerMethodField(help_text="The one it went into, where it was merged.")
    last_transition = serializers.SerializerMethodField()

    def get_segment(self, _: Any) -> int:
        return int(self.context["version"].segment_id)

    def get_version(self, _: Any) -> int:
        return int(self.context["version"].number)

    def get_profile(self, _: Any) -> UUID:
        profile: UUID = self.context["profile"]
        return profile

    @extend_schema_field(LastTransitionSerializer(allow_null=True))
    def get_last_transition(self, _: Any) -> Any:
        rows = Transition.objects.filter(profile=self.context["profile"], segment=self.context["version"].segment_id)
        last = rows.order_by("-at", "change").first()
        if last is None:
            return None
        return LastTransitionSerializer(last, context={"told": {last.pk: tell([last])[0]}}).data


class WhyActions(VersionActions):
    """What `/segments/{id}/why` does."""

    @extend_schema(
        summary="Say why somebody is in a segment or out of it",
        description=(
            "A tree shaped like the rule that serves, by what is known now. 409 `no_rule` for a segment that people "
            "are put into, `not_built` before its first version serves, `paused` while it takes nobody in."
        ),
        parameters=list(PARAMETERS),
        responses=WhyInSerializer,
        examples=[OpenApiExample("In", _WHY, response_only=True, status_codes=["200"])],
    )
    @action(detail=True, methods=["get"])
    def why(self, request: Request, **_: Any) -> Response:
        version = self._serving()
        asked = Somebody(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        profile_id = asked.profile_id()
        if profile_id is None:
            raise NotFound
        around = replace(surroundings_of(version.advertiser_id), key=version.segment.code)
        try:
            with in_time(TOO_SLOW):
                answer = explain(rule_of(version.rule), around, version.advertiser_id, profile_id)
        except NotThere:
            raise NotFound from None
        return Response(WhyInSerializer(answer, context={"version": version, "profile": profile_id}).data)

    def _serving(self) -> RuleVersion:
        segment: Segment = self.ruled()
        if not segment.is_active:
            raise errors.Refused("paused", "The segment is paused: nobody comes in, and members leave at their ends.")
        rows = RuleVersion.objects.filter(segment=segment, number=segment.active_version).select_related("segment")
        version = rows.first()
        if version is None:
            raise errors.Refused("not_built", "Its first version is still being built: nobody is in yet.")
        return version
