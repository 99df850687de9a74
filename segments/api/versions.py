"""The versions of a segment's rule, and what is done to the one that is being built."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from audience.api import errors
from audience.api.pages import KeyPages
from audience.api.serializers import RowSerializer
from audience.api.views import ApiViewSet
from segments import building
from segments.api.rule_bodies import RULE_EXAMPLE, SENTENCE_EXAMPLE, RefusedRule
from segments.editing import Overtaken, State, change_segment
from segments.models import RuleVersion, Segment
from segments.rules.refusals import RuleRefused
from segments.versions import NotAllowed, build_again

_VERSION = {
    "number": 4,
    "state": "active",
    "sentence": SENTENCE_EXAMPLE,
    "author": "Jo Doe",
    "created_at": "2026-11-20T08:00:00Z",
    "complete_since": "2026-11-20T08:01:12Z",
    "failure": None,
}
_READ = _VERSION | {
    "rule": RULE_EXAMPLE,
    "saved": json.dumps(RULE_EXAMPLE, indent=2) + "\n",
    "diff": [
        "--- version 3",
        "+++ version 4",
        "@@ -1,5 +1,5 @@",
        " {",
        '   "muster_rule": 1,',
        '   "of": "profile",',
        '-  "rule": {"event": "purchase", "window": {"within": "30d"}}',
        '+  "rule": {"event": "purchase", "window": {"within": "30d"}, "count": {"at_least": 3}}',
        " }",
    ],
}
NO_RULE = "People are put into this segment: it has no rule."


class VersionSerializer(RowSerializer):
    """A rule as it was saved."""

    sentence = serializers.SerializerMethodField(help_text="Null where this version of Muster cannot read it.")
    author = serializers.SerializerMethodField(help_text="Null: it came through the API.")
    failure = serializers.SerializerMethodField(help_text="Why it could not be built.")

    class Meta:
        model = RuleVersion
        fields: tuple[str, ...] = tuple(_VERSION)
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_sentence(self, version: RuleVersion) -> str | None:
        sentence: str | None = self.context["rules"].sentence_of(version)
        return sentence

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_author(self, version: RuleVersion) -> str | None:
        return (version.author.get_full_name() or version.author.get_username()) if version.author else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_failure(self, version: RuleVersion) -> str | None:
        return version.failure or None


class ReadVersionSerializer(VersionSerializer):
    """A rule as it was saved, and what was changed in the version before it."""

    rule = serializers.SerializerMethodField()
    saved = serializers.CharField(source="rule", help_text="The form in which it is kept: one condition a line.")
    diff = serializers.SerializerMethodField(help_text="Lines of a unified diff; empty for the first version.")

    class Meta(VersionSerializer.Meta):
        fields = tuple(_READ)
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_rule(self, version: RuleVersion) -> Any:
        return json.loads(version.rule)

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_diff(self, version: RuleVersion) -> list[str]:
        earlier = RuleVersion.objects.filter(segment=version.segment_id, number__lt=version.number)
        before = earlier.order_by("-number").first()
        if before is None:
            return []
        names = f"version {before.number}", f"version {version.number}"
        return list(unified_diff(before.rule.splitlines(), version.rule.splitlines(), *names, lineterm=""))


class VersionPages(KeyPages):
    """The newest first."""

    key = "number"
    orderings = ("-number",)


class VersionActions(ApiViewSet):
    """What `/segments/{id}/versions` and `/segments/{id}/build` do."""

    def ruled(self) -> Segment:
        """Return the segment of the path; raise a 409 where it has no rule."""
        segment: Segment = self.get_object()
        if segment.kind != Segment.Kind.RULE:
            raise errors.Refused("no_rule", NO_RULE)
        return segment

    @extend_schema(
        summary="List the versions of a segment's rule, the newest first",
        description="409 `no_rule` for a segment that people are put into.",
        responses=VersionSerializer(many=True),
        examples=[OpenApiExample("The fourth", _VERSION, response_only=True)],
    )
    @action(detail=True, methods=["get"], pagination_class=VersionPages, filterset_class=None)
    def versions(self, request: Request, **_: Any) -> Response:
        page = self.paginate_queryset(RuleVersion.objects.filter(segment=self.ruled()).select_related("author"))
        return self.get_paginated_response(
            VersionSerializer(page, many=True, context=self.get_serializer_context()).data
        )

    @extend_schema(
        summary="Read a version of a segment's rule, and what it changed",
        responses=ReadVersionSerializer,
        examples=[OpenApiExample("The fourth", _READ, response_only=True)],
    )
    @action(detail=True, methods=["get"], url_path="versions/<int:number>")
    def version(self, request: Request, number: int, **_: Any) -> Response:
        return Response(ReadVersionSerializer(self._version(number), context=self.get_serializer_context()).data)

    @extend_schema(
        summary="Use the rule of an earlier version again",
        description="It is checked and saved as a new version, unless it means what the newest one does.",
        request=None,
    )
    @action(detail=True, methods=["post"], url_path="versions/<int:number>/use")
    def use_version(self, request: Request, number: int, **_: Any) -> Response:
        version = self._version(number)
        with refusals():
            change_segment(version.segment, {}, rule=version.rule)
        return self.answer_read()

    @extend_schema(
        summary="Stop the building of a rule",
        description="It rests after the step that is under way. What serves goes on to serve.",
        request=None,
    )
    @action(detail=True, methods=["post"], url_path="build/stop")
    def stop_build(self, request: Request, **_: Any) -> Response:
        building.stop(self._in_work())
        return self.answer_read()

    @extend_schema(
        summary="Let the building of a rule go on where it was stopped",
        request=None,
    )
    @action(detail=True, methods=["post"], url_path="build/resume")
    def resume_build(self, request: Request, **_: Any) -> Response:
        building.go_on(self._in_work())
        return self.answer_read()

    @extend_schema(
        summary="Build anew the version that could not be built",
        description="With the same rule, as a new version.",
        request=None,
    )
    @action(detail=True, methods=["post"], url_path="build/retry")
    def retry_build(self, request: Request, **_: Any) -> Response:
        newest = RuleVersion.objects.filter(segment=self.ruled()).latest("number")
        if newest.state != State.FAILED:
            raise errors.Refused("not_failed", "The newest version did not fail.")
        with refusals():
            build_again(newest)
        return self.answer_read()

    def answer_read(self) -> Response:
        """Answer with the segment as it is now."""
        return Response(self.get_serializer(self.get_object()).data)

    def _version(self, number: int) -> RuleVersion:
        rows = RuleVersion.objects.filter(segment=self.ruled(), number=min(number, _LARGEST_NUMBER))
        version = rows.select_related("author", "segment").first()
        if version is None:
            raise NotFound
        return version

    def _in_work(self) -> RuleVersion:
        version = RuleVersion.objects.filter(segment=self.ruled(), state=State.BUILDING).first()
        if version is None:
            raise errors.Refused("not_building", "No version is being built.")
        return version


# Larger ones are no column's, and no version's.
_LARGEST_NUMBER = 2**31 - 1


@contextmanager
def refusals() -> Iterator[None]:
    """Answer what the work on rules refuses: a rule with its problems, and what is not allowed as things stand."""
    try:
        yield
    except RuleRefused as refused:
        raise RefusedRule(refused.problems) from None
    except Overtaken as error:
        raise errors.Refused("overtaken", str(error)) from None
    except NotAllowed as error:
        raise errors.Refused("refused", str(error)) from None
