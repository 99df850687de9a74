"""A rule as a field of a form, with what is told beside it while it is written; and the page to try one.

Without JavaScript the page's buttons ask the same; the script asks for the same parts of a page and puts them in.
"""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from audience.admin.base import TenantAdmin, taken_seat
from audience.admin.profile import note_look
from audience.finding import profiles_behind
from audience.models import Account, Advertiser, Profile
from audience.teams import Seat
from audience.tenancy import NoAdvertiser, current_advertiser_id
from segments.checking import check, english_of
from segments.knowledge import Knowledge
from segments.preview import TOO_MANY, TOO_SLOW, Preview, count_exactly, preview
from segments.rules.refusals import place
from segments.rules.timeline import Surroundings
from segments.rules.tree import Rule
from segments.starting_points import STARTING_POINTS, starting_point
from segments.statements import TooSlow
from segments.surroundings import surroundings_of
from segments.telling import Teller
from segments.why import Answer, NotThere, explain

ROWS = 18
NAMES_SHOWN = 200
NOBODY = "Nobody is known by that. Write an identifier such as C-1001 or jo@example.com, or a profile's id."
SEVERAL = "Several people are known by that. Write the kind before it, such as customer_id:C-1001."
NO_COMPANY = "There is no such account. Write the key that it is known by."


class RuleWidget(UnfoldAdminTextareaWidget):
    """A rule as JSON, with its sentence and its numbers beside it. `told` is what stands there without JavaScript."""

    template_name = "admin/widgets/rule.html"

    class Media:
        js = (forms.Script("muster/rule.js", defer=True),)

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        own = {"rows": ROWS, "spellcheck": "false", "autocomplete": "off", "class": "m-rule__text"}
        super().__init__({**own, **(attrs or {})})
        self.told: dict[str, Any] = {}

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        return context | {
            "told": self.told,
            "checks": reverse("admin:segments_segment_rule_checks"),
            "numbers": reverse("admin:segments_segment_rule_numbers"),
        }


class RuleField(forms.CharField):
    """A rule of the advertiser in context; its value is the saved form."""

    widget = RuleWidget

    def __init__(self, *, own_key: str | None = None, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.own_key = own_key

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
    seat = _seat_of_maker(page_admin, request)
    chosen = starting_point(request.GET.get("start", ""))
    form = TryForm(request.POST or None, initial={"rule": chosen.text if chosen else ""})
    text = request.POST.get("rule", "") if request.method == "POST" else form.initial["rule"]
    told: dict[str, Any] = {"may_see_people": seat.may_see_people}
    if text.strip():
        told |= _told(text, request, seat, request.POST.get("do", "check"))
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
        "names": _names(seat.advertiser.pk),
    }
    return TemplateResponse(request, "admin/segments/try_rule.html", context)


def _names(advertiser_id: int) -> dict[str, Any]:
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
    seat = _seat_of_maker(page_admin, request)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    context = {"may_see_people": seat.may_see_people}
    return TemplateResponse(request, template, context | _told(request.POST.get("rule", ""), request, seat, do))


def _seat_of_maker(page_admin: TenantAdmin, request: HttpRequest) -> Seat:
    """Return the seat of somebody who may make segments."""
    if not page_admin.has_add_permission(request):
        raise PermissionDenied
    return taken_seat(request)


def _told(text: str, request: HttpRequest, seat: Seat, do: str) -> dict[str, Any]:
    """Return what the templates show of a rule: checks always, and what was asked for."""
    advertiser_id = seat.advertiser.pk
    around = surroundings_of(advertiser_id)
    checked = check(text, advertiser_id, around)
    told: dict[str, Any] = {"checked": checked}
    if checked.rule is None:
        return told
    if do in ("count", "exactly"):
        told |= _numbers(checked.rule, around, advertiser_id, is_exact=do == "exactly")
    if do == "why" and seat.may_see_people:
        told |= _why(checked.rule, around, seat.advertiser, request)
    return told


def _numbers(rule: Rule, around: Surroundings, advertiser_id: int, *, is_exact: bool) -> dict[str, Any]:
    try:
        found = preview(rule, around, advertiser_id)
    except TooSlow:
        return {"too_slow": TOO_SLOW}
    told = {"preview": found, "parts": _parts(found, around), "of": rule.of}
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
        }
        for part in found.parts
    ]


def _why(rule: Rule, around: Surroundings, advertiser: Advertiser, request: HttpRequest) -> dict[str, Any]:
    """Return why the one who was named is in or out; who looked at whom is noted down."""
    typed = request.POST.get("who", "").strip()[:400]
    if rule.of == "account":
        subjects = set(Account.objects.filter(key=typed).values_list("pk", flat=True)[:1])
    else:
        subjects = profiles_behind(advertiser, typed)
    if len(subjects) != 1:
        missing = NO_COMPANY if rule.of == "account" else NOBODY
        return {"why_error": SEVERAL if subjects else missing}
    try:
        answer = explain(rule, around, advertiser.pk, next(iter(subjects)))
    except NotThere:
        return {"why_error": NOBODY}
    except TooSlow:
        return {"why_error": TOO_SLOW}
    _note_look(request, rule, next(iter(subjects)))
    teller = Teller(around.zone, answer.as_of)
    ranges = [(teller.instant(one.starts_at), one.ends_at and teller.instant(one.ends_at)) for one in answer.ranges]
    return {"why": answer, "answer": _shown(answer.root, teller), "ranges": ranges}


def _note_look(request: HttpRequest, rule: Rule, subject: UUID) -> None:
    model: Any = Account if rule.of == "account" else Profile
    note_look(request, model.objects.get(pk=subject))


def _shown(answer: Answer, teller: Teller) -> dict[str, Any]:
    """Return one node of the tree as its template shows it, in the words of the advertiser's clock."""
    return {
        "says": answer.says,
        "holds": answer.holds,
        "actual": answer.actual,
        "changes": answer.changes_at and teller.instant(answer.changes_at),
        "changes_to": answer.changes_to,
        "events": [(one.name, teller.instant(one.occurred_at)) for one in answer.events],
        "children": [_shown(child, teller) for child in answer.children],
    }
