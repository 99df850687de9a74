"""The versions of a segment's rule: their page, with what each changed in the one before it."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from audience.admin.pages import PagedAdmin
from segments.admin import differences
from segments.admin.rule_buttons import links_of
from segments.checking import english_of
from segments.models import RuleVersion, Segment
from segments.rules.english import English
from segments.rules.refusals import RuleRefused
from segments.surroundings import rule_of, surroundings_of

VERSIONS_A_PAGE = 20
UNREADABLE = "This rule cannot be read by this version of Muster."
State = RuleVersion.State
_TONES: dict[str, str] = {State.ACTIVE: "applied", State.BUILDING: "pending", State.FAILED: "failed"}


def name_of(author: User | None) -> str:
    """Return how a page calls somebody of the team."""
    return (author.get_full_name() or author.email or author.get_username()) if author else ""


def sentence_of(text: str, english: English) -> str:
    """Return a saved rule as a sentence."""
    try:
        return english.sentence(rule_of(text))
    except RuleRefused:
        return UNREADABLE


class Work(NamedTuple):
    """What goes on with a rule that a list should tell."""

    tone: str
    label: str


def works_of(segments: Collection[Segment]) -> dict[int, Work]:
    """Return, by segment, that its newest version is not there yet or could not be built, in one statement."""
    versions = RuleVersion.objects.filter(segment__in=segments).defer("rule")  # a rule may be a megabyte
    newest = versions.order_by("segment_id", "-number").distinct("segment_id")
    return {version.segment_id: work for version in newest if (work := _work_of(version))}


def _work_of(version: RuleVersion) -> Work | None:
    if version.state == State.BUILDING:
        return Work("pending", "stopped" if version.stopped_at else "being built")
    return Work("failed", "not built") if version.state == State.FAILED else None


def versions_page(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """List the versions, the newest first, each with what it changed in the one before it."""
    rows = RuleVersion.objects.filter(segment=segment).select_related("author", "lead__segment").order_by("-number")
    listed = Paginator(rows, VERSIONS_A_PAGE).get_page(request.GET.get("p", "1"))
    english = english_of(surroundings_of(segment.advertiser_id))
    # One more than are shown: the last one is compared, too.
    found = list(rows[listed.start_index() - 1 : listed.end_index() + 1]) if listed.object_list else []
    return page_admin.render_page(
        request,
        segment,
        "segments/admin/versions.html",
        "versions",
        segment=segment,
        listed=listed,
        versions=list(_shown(found, english))[:VERSIONS_A_PAGE],
        may_change=page_admin.has_change_permission(request, segment),
        links=links_of(page_admin, segment),
    )


def _shown(found: Sequence[RuleVersion], english: English) -> Iterator[dict[str, Any]]:
    for version, before in zip(found, [*found[1:], None], strict=True):
        sentence = sentence_of(version.rule, english)
        shown = {"row": version, "sentence": sentence, "tone": _TONES.get(version.state, "idle")}
        shown["author"] = name_of(version.author)
        if before is not None:
            shown["is_same"] = before.rule == version.rule
            shown["words"] = differences.words_between(sentence_of(before.rule, english), sentence)
            shown["lines"] = differences.lines_between(before.rule, version.rule)
            shown["before"] = before.number
        yield shown
