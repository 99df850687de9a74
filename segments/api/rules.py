"""`/rules`: what is asked about a rule that nobody has saved: is it right, how many are in, and why is somebody."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.access import Needs
from audience.api.views import ApiViewSet
from audience.models import Role
from segments.api.rule_answers import WHY_EXAMPLE, WhySerializer
from segments.api.rule_bodies import (
    RULE_EXAMPLE,
    SENTENCE_EXAMPLE,
    AskedRule,
    CheckedRule,
    body_of,
    in_time,
    rule_from,
)
from segments.api.rule_numbers import PREVIEW_EXAMPLE, PreviewSerializer
from segments.checking import check, english_of
from segments.knowledge import Knowledge, limits
from segments.models import Segment
from segments.preview import TOO_MANY, TOO_SLOW, count_exactly, preview
from segments.rules.reading.conditions import IDENTITY_KINDS
from segments.rules.schema import schema
from segments.rules.tree import Of
from segments.surroundings import surroundings_of
from segments.why import NotThere, explain

_NAMES = {
    "events": [{"name": "product_view", "came": 120331}, {"name": "purchase", "came": 12331}],
    "profile_attributes": [{"name": "plan", "type": "text"}],
    "account_attributes": [{"name": "industry", "type": "text"}],
    "profile_segments": ["cart"],
    "account_segments": [],
    "identifier_kinds": ["browser", "customer_id", "email", "phone", "device"],
    "retention_days": 403,
}
_CHECKED = {
    "is_accepted": True,
    "problems": [],
    "notes": [],
    "sentence": SENTENCE_EXAMPLE,
    "saved": '{\n  "muster_rule": 1,\n  "of": "profile",\n  "rule": {"event": "purchase", …}\n}\n',
}


class EventNameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    came = serializers.IntegerField(help_text="How often, in the last 90 days.")


class AttributeNameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField(allow_null=True, help_text="Null: its values have several types, or none is known.")


class NamesSerializer(serializers.Serializer[Any]):
    events = EventNameSerializer(many=True, help_text="The most frequent first.")
    profile_attributes = AttributeNameSerializer(many=True)
    account_attributes = AttributeNameSerializer(many=True)
    profile_segments = serializers.ListField(child=serializers.CharField(), help_text="Their codes.")
    account_segments = serializers.ListField(child=serializers.CharField(), help_text="Their codes.")
    identifier_kinds = serializers.ListField(child=serializers.CharField(), help_text="And `partner:NAME`.")
    retention_days = serializers.IntegerField(allow_null=True, help_text="For how long events are kept.")


class AskedPreview(AskedRule):
    exactly = serializers.BooleanField(
        default=False, help_text="Also count everybody, where that can be done in time."
    )


class AskedWhy(AskedRule):
    profile = serializers.UUIDField(required=False, help_text="For a rule about profiles: whose it is.")
    account = serializers.UUIDField(required=False, help_text="For a rule about accounts.")


class RuleViewSet(ApiViewSet):
    """Rules that nobody has saved: nothing that is asked here is kept."""

    model = Segment
    needs = {
        "json_schema": Needs(Role.VIEWER),
        "names": Needs(Role.ANALYST),
        "validate": Needs(Role.ANALYST),
        "preview": Needs(Role.ANALYST),
        "why": Needs(Role.ANALYST, people=True),
    }

    @extend_schema(
        summary="Read the grammar of rules as a JSON Schema",
        description="For editors and for programs that write rules. What passes there may still be refused here.",
        responses=OpenApiTypes.OBJECT,
    )
    @action(detail=False, methods=["get"], url_path="schema")
    def json_schema(self, request: Request) -> Response:
        return Response(schema(limits()))

    @extend_schema(
        summary="Read what a rule can name",
        description="Events, attributes, segments and kinds of identifiers; never a value of anybody.",
        responses=NamesSerializer,
        examples=[OpenApiExample("A shop", _NAMES, response_only=True)],
    )
    @action(detail=False, methods=["get"])
    def names(self, request: Request) -> Response:
        advertiser_id = self.seat.advertiser.pk
        known = Knowledge(advertiser_id, surroundings_of(advertiser_id))
        names = {
            "events": [{"name": name, "came": came} for name, came in known.event_counts().items()],
            "profile_attributes": _attributes(known, "profile"),
            "account_attributes": _attributes(known, "account"),
            "profile_segments": known.segments("profile"),
            "account_segments": known.segments("account"),
            "identifier_kinds": IDENTITY_KINDS,
            "retention_days": known.retention_days(),
        }
        return Response(NamesSerializer(names).data)

    @extend_schema(
        summary="Check a rule",
        description="What is wrong with it is answered with 200 as well, in `problems`, all of it at once.",
        request=AskedRule,
        responses=CheckedRule,
        examples=[
            OpenApiExample("Buyers", {"rule": RULE_EXAMPLE}, request_only=True),
            OpenApiExample("Right", _CHECKED, response_only=True),
        ],
    )
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        around = surroundings_of(self.seat.advertiser.pk)
        checked = check(body_of(AskedRule, request)["rule"], self.seat.advertiser.pk, around)
        return Response(CheckedRule(checked).data)

    @extend_schema(
        summary="Count whom a rule would find",
        description=(
            "By a fixed random part of the people; exact where there are no more than that. 409 `too_slow` where not "
            "even a few were asked in time."
        ),
        request=AskedPreview,
        responses=PreviewSerializer,
        examples=[
            OpenApiExample("Buyers", {"rule": RULE_EXAMPLE}, request_only=True),
            OpenApiExample("About", PREVIEW_EXAMPLE, response_only=True),
        ],
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        sent = body_of(AskedPreview, request)
        advertiser_id, around = self.seat.advertiser.pk, surroundings_of(self.seat.advertiser.pk)
        rule = rule_from(sent["rule"], advertiser_id, around)
        english = english_of(around)
        with in_time(TOO_SLOW):
            found = preview(rule, around, advertiser_id)
        with in_time(TOO_MANY):
            exactly = count_exactly(rule, around, advertiser_id) if sent["exactly"] else None
        context = {"english": english, "sentence": english.sentence(rule), "exactly": exactly}
        return Response(PreviewSerializer(found, context=context).data)

    @extend_schema(
        summary="Say why somebody would be in or out",
        description="A tree shaped like the rule. Name the `profile`, or the `account` of a rule about accounts.",
        request=AskedWhy,
        responses={
            200: WhySerializer,
            404: OpenApiResponse({"$ref": "#/components/schemas/Error"}, errors.NOT_FOUND.message),
        },
        examples=[
            OpenApiExample(
                "Jo", {"rule": RULE_EXAMPLE, "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"}, request_only=True
            ),
            OpenApiExample("In", WHY_EXAMPLE, response_only=True, status_codes=["200"]),
        ],
    )
    @action(detail=False, methods=["post"])
    def why(self, request: Request) -> Response:
        sent = body_of(AskedWhy, request)
        advertiser_id, around = self.seat.advertiser.pk, surroundings_of(self.seat.advertiser.pk)
        rule = rule_from(sent["rule"], advertiser_id, around)
        if rule.of not in sent:
            raise ValidationError({rule.of: f"The rule is about {rule.of}s: name one."})
        try:
            with in_time(TOO_SLOW):
                answer = explain(rule, around, advertiser_id, sent[rule.of])
        except NotThere:
            raise NotFound from None
        return Response(WhySerializer(answer).data)


def _attributes(known: Knowledge, of: Of) -> list[dict[str, str | None]]:
    return [{"name": ".".join(name), "type": found} for name, found in known.attributes(of).items()]
