"""A rule as a field of a form, with what is told beside it while it is written; and the page to try one.

Without JavaScript the page's buttons ask the same; the script asks for the same parts of a page and puts them in.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from audience.admin.base import TenantAdmin, taken_seat
from audience.teams import NOT_FOUND, Seat
from audience.tenancy import NoAdvertiser, current_advertiser_id
from segments.admin.why import explained
from segments.checking import check, english_of
from segments.knowledge import Knowledge
from segments.models import Segment
from segments.preview import (
    TOO_MANY,
    TOO_SLOW,
    Moves,
    Preview,
    count_exactly,
    preview,
    preview_edit,
    takes_in_strangers,
)
from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused, place
from segments.rules.timeline import RuledSegment, Surroundings
from segments.rules.tree import ANY_EVENT, AllOf, EventCondition, Events, Rule
from segments.rules.windows import Duration, Within
from segments.rules.writing import write
from segments.starting_points import STARTING_POINTS, starting_point
from segments.statements import TooSlow
from segments.surroundings import surroundings_of

ROWS = 18
SEEN_LATELY = EventCondition(Events(ANY_EVENT), window=Within(Duration(30, "d")))
NAMES_SHOWN = 200


class RuleWidget(UnfoldAdminTextareaWidget):
    """A rule as JSON, with its sentence and its numbers beside it. `told` is what stands there without JavaScript."""

    template_name = "admin/widgets/rule.html"

    class Media:
        js = (forms.Script("muster/rule.js", defer=True),)

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        own = {"rows": ROWS, "spellcheck": "false", "autocomplete": "off", "class": "m-rule__text"}
        super().__init__({**own, **(attrs or {})})
        self.told: dict[str, Any] = {}
        # The segment whose rule is edited.
        self.segment: Segment | None = None

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        query = "?" + urlencode({"segment": self.segment.pk}) if self.segment else ""
        return context | {
            "told": self.told,
            "checks": reverse("admin:segments_segment_rule_checks") + query,
            "numbers": reverse("admin:segments_segment_rule_numbers") + query,
        }


class RuleField(forms.CharField):
    """A rule of the advertiser in context; its value is the saved form."""

    widget = RuleWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.own_key: str | None = None  # of the segment whose rule it is: a rule does not name its own

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Browsers end lines in their own way."""
        return super().has_changed(initial, (data or "").replace("\r\n", "\n"))

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text.strip():
            return ""
        advertiser_id = current_advertiser_id()
        if advertiser_id is None:
            raise NoAdvertiser("A rule")
        checked = check(text, advertiser_id, surroundings_of(advertiser_id), own_key=self.own_key)
        if checked.saved is None:
            raise forms.ValidationError([f"{one.place}: {one.message}" for one in checked.problems])
        return checked.saved


class TryForm(forms.Form):
    """What the page asks for. The rule is checked by the page, which tells more than a field's errors do."""

    rule = RuleField(label="Rule", required=False)
    who = forms.CharField(
        label="Why is somebody in or out?",
        required=False,
        max_length=400,
        widget=UnfoldAdminTextInputWidget({"placeholder": "An identifier, such as C-1001"}),
    )


def try_rule(page_admin: TenantAdmin, request: HttpRequest) -> HttpResponse:
    """Show the page; with a button pressed, what it asks for. Nothing is kept."""
    seat = seat_of_maker(page_admin, request)
    chosen = starting_point(request.GET.get("start", ""))
    sent = request.POST.dict()
    if put_in := rule_by_button(sent):
        sent |= {"rule": put_in, "do": "count"}
    form = TryForm(sent or None, initial={"rule": chosen.text if chosen else ""})
    text = sent.get("rule", "") if request.method == "POST" else form.initial["rule"]
    told: dict[str, Any] = {"may_see_people": seat.may_see_people}
    if text.strip():
        told |= told_of(text, request, sent.get("do", "check"))
    form.fields["rule"].widget.told = told
    request.current_app = page_admin.admin_site.name
    context = {
        **page_admin.admin_site.each_context(request),
        "media": page_admin.media + form.media,
        "title": "Try a rule",
        "opts": page_admin.opts,
        "form": form,
        "starting_points": [
            (one.title, "?" + urlencode({"start": one.key}), one == chosen) for one in STARTING_POINTS
        ],
        **told,
        "names": names_of(seat.advertiser.pk),
    }
    return TemplateResponse(request, "admin/segments/try_rule.html", context)


def rule_by_button(sent: Mapping[str, str]) -> str | None:
    """Return the rule that a button puts in the place of what was typed, if it was such a button.

    It is a starting point, or what was typed of those alone who were seen lately (rules.md 2.9).
    """
    if chosen := starting_point(sent.get("_start", "")):
        return chosen.text
    if "_seen" not in sent:
        return None
    try:
        rule = read(sent.get("rule", "")).rule
    except RuleRefused:
        return None
    also = rule.root.children if isinstance(rule.root, AllOf) else (rule.root,)
    return write(replace(rule, root=AllOf((SEEN_LATELY, *also))))


def names_of(advertiser_id: int) -> dict[str, Any]:
    """Return what a rule can name: events with how often they came, attributes with their types, segments."""
    known = Knowledge(advertiser_id, surroundings_of(advertiser_id))
    attributes = [(".".join(name), found or "") for name, found in known.attributes("profile").items()]
    return {
        "events": list(known.event_counts().items())[:NAMES_SHOWN],
        "attributes": attributes[:NAMES_SHOWN],
        "segments": sorted(known.segments("profile"))[:NAMES_SHOWN],
    }


def rule_checks(page_admin: TenantAdmin, request: HttpRequest) -> HttpResponse:
    """Return what is told about a rule that is being written, as a part of a page."""
    return _part(page_admin, request, "check", "admin/segments/rule_checks.html")


def rule_numbers(page_admin: TenantAdmin, request: HttpRequest) -> HttpResponse:
    """Return how many a rule would find, as a part of a page."""
    return _part(page_admin, request, "count", "admin/segments/rule_numbers.html")


def _part(page_admin: TenantAdmin, request: HttpRequest, do: str, template: str) -> HttpResponse:
    seat = seat_of_maker(page_admin, request)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    context = {"may_see_people": seat.may_see_people}
    told = told_of(request.POST.get("rule", ""), request, do, _edited(page_admin, request))
    return TemplateResponse(request, template, context | told)


def seat_of_maker(page_admin: TenantAdmin, request: HttpRequest) -> Seat:
    """Return the seat of somebody who may make segments."""
    if not page_admin.has_add_permission(request):
        raise PermissionDenied
    return taken_seat(request)


def _edited(page_admin: TenantAdmin, request: HttpRequest) -> Segment | None:
    """Return the segment whose rule is edited, where the address names one."""
    text = request.GET.get("segment", "")
    if not text:
        return None
    segment = page_admin.get_object(request, text)
    if segment is None:
        raise Http404(NOT_FOUND)
    return cast("Segment", segment)


def told_of(text: str, request: HttpRequest, do: str, segment: Segment | None = None) -> dict[str, Any]:
    """Return what the templates show of a rule: checks always, and what was asked for.

    The rule of a segment may not name it, and is counted beside the one that serves.
    """
    seat = taken_seat(request)
    around = surroundings_of(seat.advertiser.pk)
    if segment is not None:
        around = replace(around, key=segment.code)
    checked = check(text, seat.advertiser.pk, around, own_key=segment.code if segment else None)
    told: dict[str, Any] = {"checked": checked}
    if checked.rule is None:
        return told
    if do in ("count", "exactly"):
        told |= _numbers(checked.rule, around, seat.advertiser.pk, is_exact=do == "exactly")
        if segment is not None and "preview" in told:
            told["moves"] = _moves(checked.rule, segment, around)
    if do == "why" and seat.may_see_people:
        told |= explained(checked.rule, around, request, request.POST.get("who", ""))
    return told


def _moves(rule: Rule, segment: Segment, around: Surroundings) -> Moves | None:
    """Return who would come and go with an edit; None while nothing serves, and where it takes too long."""
    other = around.segments.get(segment.code)
    if not isinstance(other, RuledSegment) or other.rule.of != rule.of:
        return None
    try:
        return preview_edit(rule, segment.code, around, segment.advertiser_id)
    except TooSlow:
        return None


def _numbers(rule: Rule, around: Surroundings, advertiser_id: int, *, is_exact: bool) -> dict[str, Any]:
    try:
        found = preview(rule, around, advertiser_id)
        strangers = takes_in_strangers(rule, around)
    except TooSlow:
        return {"too_slow": TOO_SLOW}
    told = {"preview": found, "parts": _parts(found, around), "of": rule.of, "strangers": strangers}
    told["unread"] = sum(bool(part.unread) for part in found.parts)
    if is_exact:
        try:
            told["exactly"] = count_exactly(rule, around, advertiser_id)
        except TooSlow:
            told["too_many"] = TOO_MANY
    return told


def _parts(found: Preview, around: Surroundings) -> list[dict[str, Any]]:
    """Return the rows of the table: a condition each, with its place and its numbers."""
    english = english_of(around)
    return [
        {
            "place": place(part.node.path),
            "says": english.sentence(part.node),
            "alone": part.alone,
            "without": part.without,
            "unread": part.unread,
        }
        for part in found.parts
    ]
