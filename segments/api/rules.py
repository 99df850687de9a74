"""`/rules`: what is asked about a rule that nobody has saved: is it right, how many are in, and why is somebody."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.access import Needs
from audience.api.serializers import ClosedSerializer
from audience.api.views import ApiViewSet
from audience.models import Role
from segments.checking import check, english_of
from segments.knowledge import Knowledge, limits
from segments.models import Segment
from segments.preview import TOO_MANY, TOO_SLOW, count_exactly, preview
from segments.rules.english import English
from segments.rules.reading.conditions import IDENTITY_KINDS
from segments.rules.refusals import place
from segments.rules.schema import schema
from segments.rules.timeline import Surroundings
from segments.rules.tree import Of, Rule
from segments.statements import TooSlow
from segments.surroundings import surroundings_of
from segments.why import NotThere, explain

_RULE = {
    "muster_rule": 1,
    "of": "profile",
    "rule": {"event": "purchase", "window": {"within": "30d"}, "count": {"at_least": 3}},
}
_SENTENCE = "Purchased at least 3 times in the last 30 days"
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
    "sentence": _SENTENCE,
    "saved": '{\n  "muster_rule": 1,\n  "of": "profile",\n  "rule": {"event": "purchase", …}\n}\n',
}
_NUMBER = {
    "about": 12400,
    "low": 10800,
    "high": 14200,
    "is_exact": False,
    "asked": 20000,
    "everybody": 1240000,
    "sentence": "about 12,400 (10,800 to 14,200)",
}
_PREVIEW = {
    "as_of": "2026-11-22T10:15:02Z",
    "sentence": _SENTENCE,
    "found": _NUMBER,
    "exactly": None,
    "joins_in_24_hours": _NUMBER,
    "leaves_in_24_hours": _NUMBER,
    "parts": [{"place": "rule", "says": _SENTENCE, "alone": _NUMBER, "without": None}],
    "known": {"email": 0.41, "phone": 0.12, "customer_id": 0.38},
    "consents": {"advertising": 0.36},
    "examples": ["0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"],
    "is_cut_short": False,
}
_WHY = {
    "sentence": "In. Leaves on 8 Dec at 12:00 unless they purchase again.",
    "as_of": "2026-11-22T10:15:02Z",
    "is_in": True,
    "until": "2026-12-08T11:00:00Z",
    "ranges": [{"starts_at": "2026-11-22T10:15:02Z", "ends_at": "2026-12-08T11:00:00Z"}],
    "why": {
        "place": "rule",
        "says": _SENTENCE,
        "holds": True,
        "actual": "3 times, newest 20 November 12:00",
        "events": [
            {
                "id": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b12",
                "name": "purchase",
                "occurred_at": "2026-11-20T11:00:00Z",
            }
        ],
        "changes_at": "2026-12-08T11:00:00Z",
        "changes_to": False,
        "children": [],
    },
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


class AskedRule(ClosedSerializer):
    """A rule. As a text every number is read as it is written; an object is read as JSON programs read it."""

    rule = serializers.JSONField(help_text="The rule: an object as in `GET /rules/schema`, or its JSON as a text.")

    def validate_rule(self, rule: Any) -> str:
        """Return the rule's text, which is what is read."""
        return rule if isinstance(rule, str) else json.dumps(rule)


class AskedPreview(AskedRule):
    exactly = serializers.BooleanField(
        default=False, help_text="Also count everybody, where that can be done in time."
    )


class AskedWhy(AskedRule):
    profile = serializers.UUIDField(required=False, help_text="For a rule about profiles: whose it is.")
    account = serializers.UUIDField(required=False, help_text="For a rule about accounts.")


class ProblemSerializer(serializers.Serializer[Any]):
    path = serializers.ListField(child=serializers.JSONField(), help_text="Keys and positions from the top.")
    place = serializers.CharField(help_text="The same as a text: `rule.all_of[0].where[1]`.")
    code = serializers.CharField(help_text="For programs. It stays when the message gets better words.")
    message = serializers.CharField(help_text="What is wrong, and what to do.")


class CheckedRule(serializers.Serializer[Any]):
    is_accepted = serializers.BooleanField()
    problems = ProblemSerializer(many=True, help_text="Each prevents saving.")
    notes = ProblemSerializer(many=True, help_text="Worth knowing; they prevent nothing.")
    sentence = serializers.CharField(allow_null=True, help_text="The rule as English.")
    saved = serializers.CharField(allow_null=True, help_text="The form in which it is kept: one condition a line.")


class EstimateSerializer(serializers.Serializer[Any]):
    """A number. Where not everybody was asked, it has its 95 % range, and all are to three figures."""

    about = serializers.IntegerField()
    low = serializers.IntegerField()
    high = serializers.IntegerField()
    is_exact = serializers.BooleanField()
    asked = serializers.IntegerField(help_text="How many were asked.")
    everybody = serializers.IntegerField(help_text="How many there are.")
    sentence = serializers.CharField(source="__str__")


class PartSerializer(serializers.Serializer[Any]):
    place = serializers.SerializerMethodField(help_text="Where in the rule: `rule.all_of[0]`.")
    says = serializers.SerializerMethodField()
    alone = EstimateSerializer(help_text="How many this group or condition finds alone.")
    without = EstimateSerializer(allow_null=True, help_text="How many the rule would find without it.")

    def get_place(self, part: Any) -> str:
        return place(part.node.path)

    def get_says(self, part: Any) -> str:
        english: English = self.context["english"]
        return english.sentence(part.node)


class PreviewSerializer(serializers.Serializer[Any]):
    as_of = serializers.DateTimeField()
    sentence = serializers.SerializerMethodField()
    found = EstimateSerializer()
    exactly = serializers.SerializerMethodField(help_text="The exact number, where it was asked for.")
    joins_in_24_hours = EstimateSerializer(source="joins", help_text="By time alone.")
    leaves_in_24_hours = EstimateSerializer(source="leaves", help_text="By time alone.")
    parts = PartSerializer(many=True)
    known = serializers.DictField(
        child=serializers.FloatField(), help_text="Shares of those found that have this kind of identifier."
    )
    consents = serializers.DictField(
        child=serializers.FloatField(), help_text="Shares of those found that have granted this purpose."
    )
    examples = serializers.ListField(child=serializers.UUIDField(), help_text="Ids of up to ten that are found.")
    is_cut_short = serializers.BooleanField(help_text="True: fewer were asked than usual, for want of time.")

    def get_sentence(self, _: Any) -> str:
        return str(self.context["sentence"])

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_exactly(self, _: Any) -> int | None:
        exactly: int | None = self.context["exactly"]
        return exactly


class IntervalSerializer(serializers.Serializer[Any]):
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Null: no end is known.")


class CountedEventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    occurred_at = serializers.DateTimeField()


class AnswerSerializer(serializers.Serializer[Any]):
    """One group or condition, with those below it in `children`."""

    place = serializers.SerializerMethodField()
    says = serializers.CharField()
    holds = serializers.BooleanField()
    actual = serializers.CharField(allow_blank=True, help_text="What is the case, such as “3 times”.")
    events = CountedEventSerializer(many=True, help_text="The newest ten that count.")
    changes_at = serializers.DateTimeField(allow_null=True, help_text="When that changes if nothing else happens.")
    changes_to = serializers.BooleanField(allow_null=True)
    children = serializers.SerializerMethodField()

    def get_place(self, answer: Any) -> str:
        return place(answer.node.path)

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Answer"}})
    def get_children(self, answer: Any) -> Any:
        return AnswerSerializer(answer.children, many=True).data


class WhySerializer(serializers.Serializer[Any]):
    sentence = serializers.CharField()
    as_of = serializers.DateTimeField()
    is_in = serializers.BooleanField()
    until = serializers.DateTimeField(allow_null=True, help_text="When they leave if nothing else happens.")
    ranges = IntervalSerializer(many=True, help_text="The next ten times during which they are in.")
    why = AnswerSerializer(source="root")


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
            OpenApiExample("Buyers", {"rule": _RULE}, request_only=True),
            OpenApiExample("Right", _CHECKED, response_only=True),
        ],
    )
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        around = surroundings_of(self.seat.advertiser.pk)
        checked = check(_sent(AskedRule, request)["rule"], self.seat.advertiser.pk, around)
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
            OpenApiExample("Buyers", {"rule": _RULE}, request_only=True),
            OpenApiExample("About", _PREVIEW, response_only=True),
        ],
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        sent = _sent(AskedPreview, request)
        advertiser_id, around = self.seat.advertiser.pk, surroundings_of(self.seat.advertiser.pk)
        rule = _read(sent["rule"], advertiser_id, around)
        english = english_of(around)
        with _in_time(TOO_SLOW):
            found = preview(rule, around, advertiser_id)
        with _in_time(TOO_MANY):
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
                "Jo", {"rule": _RULE, "profile": "0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"}, request_only=True
            ),
            OpenApiExample("In", _WHY, response_only=True, status_codes=["200"]),
        ],
    )
    @action(detail=False, methods=["post"])
    def why(self, request: Request) -> Response:
        sent = _sent(AskedWhy, request)
        advertiser_id, around = self.seat.advertiser.pk, surroundings_of(self.seat.advertiser.pk)
        rule = _read(sent["rule"], advertiser_id, around)
        if rule.of not in sent:
            raise ValidationError({rule.of: f"The rule is about {rule.of}s: name one."})
        try:
            with _in_time(TOO_SLOW):
                answer = explain(rule, around, advertiser_id, sent[rule.of])
        except NotThere:
            raise NotFound from None
        return Response(WhySerializer(answer).data)


def _attributes(known: Knowledge, of: Of) -> list[dict[str, str | None]]:
    return [{"name": ".".join(name), "type": found} for name, found in known.attributes(of).items()]


def _sent(serializer: type[AskedRule], request: Request) -> dict[str, Any]:
    sent = serializer(data=request.data)
    sent.is_valid(raise_exception=True)
    found: dict[str, Any] = sent.validated_data
    return found


def _read(text: str, advertiser_id: int, around: Surroundings) -> Rule:
    """Return a rule; one that is refused is a 400 whose fields are the places in it."""
    checked = check(text, advertiser_id, around)
    if checked.rule is None:
        problems: dict[str, list[str]] = {}
        for problem in checked.problems:
            problems.setdefault(problem.place, []).append(problem.message)
        raise ValidationError(problems)
    return checked.rule


@contextmanager
def _in_time(otherwise: str) -> Iterator[None]:
    try:
        yield
    except TooSlow:
        raise errors.Refused("too_slow", otherwise) from None
