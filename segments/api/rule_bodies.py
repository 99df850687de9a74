"""A rule in the body of a request: read for an advertiser, or refused with the place of each thing that is wrong."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from audience.api import errors
from audience.api.serializers import ClosedSerializer
from segments.checking import check
from segments.rules.refusals import Problem
from segments.rules.timeline import Surroundings
from segments.rules.tree import Rule
from segments.statements import TooSlow

RULE_EXAMPLE = {
    "muster_rule": 1,
    "of": "profile",
    "rule": {"event": "purchase", "window": {"within": "30d"}, "count": {"at_least": 3}},
}
SENTENCE_EXAMPLE = "Purchased at least 3 times in the last 30 days"


def text_of(sent: Any) -> str:
    """Return the text of a rule as it was sent, which is what is read."""
    return sent if isinstance(sent, str) else json.dumps(sent)


class AskedRule(ClosedSerializer):
    """A rule. As a text every number is read as it is written; an object is read as JSON programs read it."""

    rule = serializers.JSONField(help_text="The rule: an object as in `GET /rules/schema`, or its JSON as a text.")

    def validate_rule(self, rule: Any) -> str:
        return text_of(rule)


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


class RefusedRule(errors.Explained):
    """A rule that is refused: `fields` has the places in it, `problems` all that is known of each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        problems = tuple(problems)
        fields: dict[str, list[str]] = {}
        for problem in problems:
            fields.setdefault(problem.place, []).append(problem.message)
        super().__init__(fields, {"problems": ProblemSerializer(problems, many=True).data})


def body_of(serializer: type[AskedRule], request: Request) -> dict[str, Any]:
    """Return what a body holds, once it is checked."""
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    found: dict[str, Any] = asked.validated_data
    return found


def rule_from(text: str, advertiser_id: int, around: Surroundings) -> Rule:
    """Return a rule; raise `RefusedRule`."""
    checked = check(text, advertiser_id, around)
    if checked.rule is None:
        raise RefusedRule(checked.problems)
    return checked.rule


@contextmanager
def in_time(otherwise: str) -> Iterator[None]:
    """Answer 409 with a sentence where the block takes too long."""
    try:
        yield
    except TooSlow:
        raise errors.Refused("too_slow", otherwise) from None
