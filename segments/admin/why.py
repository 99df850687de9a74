"""Why somebody is in a segment or out of it, on a page: the rule as a tree, each condition ticked or not."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import urlencode

from audience.admin.base import taken_seat
from audience.admin.pages import PagedAdmin
from audience.admin.profile import note_look
from audience.finding import profiles_behind
from audience.models import Account, Advertiser, Profile
from audience.teams import NOT_FOUND
from segments.membership import holds
from segments.models import RuleVersion, Segment
from segments.preview import TOO_SLOW
from segments.rules.refusals import RuleRefused
from segments.rules.timeline import Surroundings, Uncompilable
from segments.rules.tree import Of, Rule
from segments.statements import TooSlow
from segments.surroundings import rule_of, surroundings_of
from segments.tables import MEMBERSHIPS, TRANSITIONS, of_segment
from segments.telling import Teller
from segments.why import Answer, NotThere, explain

MOVES_SHOWN = 10
LONGEST_TYPED = 400
NOBODY = "Nobody is known by that. Write an identifier such as C-1001 or jo@example.com, or a profile's id."
SEVERAL = "Several people are known by that. Write the kind before it, such as customer_id:C-1001."
NO_COMPANY = "There is no such account. Write the key that it is known by."
CANNOT_BE_ASKED = "The rule of this segment cannot be asked at present, so nobody can say why."


def explained(rule: Rule, around: Surroundings, request: HttpRequest, typed: str) -> dict[str, Any]:
    """Return what the templates show of why the one who was named is in or out; who looked at whom is noted down."""
    subject = _subject(rule.of, taken_seat(request).advertiser, typed)
    if isinstance(subject, str):
        return {"why_error": subject}
    try:
        answer = explain(rule, around, taken_seat(request).advertiser.pk, subject)
    except NotThere:
        return {"why_error": NOBODY}
    except TooSlow:
        return {"why_error": TOO_SLOW}
    _note_look(request, rule.of, subject)
    teller = Teller(around.zone, answer.as_of)
    ranges = [(teller.instant(one.starts_at), one.ends_at and teller.instant(one.ends_at)) for one in answer.ranges]
    return {"why": answer, "answer": _shown(answer.root, teller), "ranges": ranges, "subject": subject}


def _subject(of: Of, advertiser: Advertiser, typed: str) -> UUID | str:
    """Return who is meant, or what is wrong with what was typed."""
    text = typed.strip()[:LONGEST_TYPED]
    if of == "account":
        subjects = set(Account.objects.filter(key=text).values_list("pk", flat=True)[:1])
    else:
        subjects = profiles_behind(advertiser, text)
    if len(subjects) == 1:
        return next(iter(subjects))
    return SEVERAL if subjects else NO_COMPANY if of == "account" else NOBODY


def _note_look(request: HttpRequest, of: Of, subject: UUID) -> None:
    model: Any = Account if of == "account" else Profile
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


def why_page(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Show why somebody, named by `?who=` with an identifier or a profile's id, is in a segment or out of it."""
    if not taken_seat(request).may_see_people:
        raise PermissionDenied("You may not see people.")
    typed = request.GET.get("who", "")
    told = _told(segment, request, typed) if typed.strip() else {}
    if "subject" in told:
        told |= _history(segment, told["subject"])
    return page_admin.render_page(
        request, segment, "segments/admin/why.html", "overview", segment=segment, typed=typed, **told
    )


def _told(segment: Segment, request: HttpRequest, typed: str) -> dict[str, Any]:
    if segment.kind == Segment.Kind.RULE:
        return _told_by_rule(segment, request, typed)
    subject = _subject("profile", taken_seat(request).advertiser, typed)
    if isinstance(subject, str) or not Profile.objects.filter(pk=subject).exists():
        return {"why_error": subject if isinstance(subject, str) else NOBODY}
    _note_look(request, "profile", subject)
    return {"of": "profile", "subject": subject}


def _told_by_rule(segment: Segment, request: HttpRequest, typed: str) -> dict[str, Any]:
    serving = RuleVersion.objects.filter(segment=segment, state=RuleVersion.State.ACTIVE).first()
    if serving is None:
        return {"why_error": "No version of this rule serves yet, so nobody is in."}
    around = replace(surroundings_of(segment.advertiser_id), key=segment.code)
    try:
        rule = rule_of(serving.rule)
        return {"version": serving, "of": rule.of, **explained(rule, around, request, typed)}
    except (RuleRefused, Uncompilable):
        return {"why_error": CANNOT_BE_ASKED}


def _history(segment: Segment, subject: UUID) -> dict[str, Any]:
    """Return the membership of now, and the newest joins and leaves with their causes."""
    of = of_segment(segment)
    its: dict[str, Any] = {"segment": segment, f"{of}_id": subject}
    rows: QuerySet[Any] = MEMBERSHIPS[of].objects.filter(holds(timezone.now()), **its)
    moves: QuerySet[Any] = TRANSITIONS[of].objects.filter(**its)
    return {"member": rows.first(), "moves": moves.order_by("-at", "-change")[:MOVES_SHOWN]}


def why_of(page_admin: PagedAdmin, request: HttpRequest) -> HttpResponse:
    """Lead from a person's page to why they are in the segment that was chosen there."""
    text = request.GET.get("segment", "")
    segment = page_admin.get_queryset(request).filter(pk=int(text)).first() if _is_key(text) else None
    if segment is None:
        raise Http404(NOT_FOUND)
    link = page_admin.url_of(segment, "why")
    return HttpResponseRedirect(f"{link}?{urlencode({'who': request.GET.get('who', '')})}")


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19
