"""Making a segment by a rule, and editing it: name, code, description, and the rule with its sentence beside it.

Buttons other than Save give the page back with what was typed: a starting point put in, or the rule checked or
counted. So it works without JavaScript.
"""

from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from audience.admin.base import taken_seat
from audience.admin.pages import PagedAdmin
from segments.admin import differences
from segments.admin.forms import CodedForm
from segments.admin.rules import RuleField, names_of, rule_by_button, seat_of_maker, told_of
from segments.admin.versions import name_of
from segments.checking import english_of
from segments.editing import change_segment
from segments.models import RuleVersion, Segment
from segments.rules.refusals import RuleRefused
from segments.starting_points import STARTING_POINTS
from segments.surroundings import rule_of, surroundings_of
from segments.versions import NotAllowed

State = RuleVersion.State
# These give the page back: a starting point put in, people who were seen lately alone, checked or counted.
_BUTTONS = {"_start", "_seen", "_do"}
OVERTAKEN = (
    "{who} saved version {number} meanwhile. What yours changes in it stands below. Save again to "
    "put yours in its place."
)


class RuleForm(CodedForm):
    """A segment by a rule. Its code stays as it was made: rules of others name it, and shares are drawn by it."""

    rule = RuleField(
        label="Rule",
        error_messages={"required": "Write a rule, or begin with one of the starting points."},
    )
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Segment
        fields = ("name", "code", "description")
        widgets = {
            "name": UnfoldAdminTextInputWidget({"maxlength": 255}),
            "code": UnfoldAdminTextInputWidget({"maxlength": 50, "placeholder": "taken from the name"}),
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
        }

    def __init__(self, *args: Any, instance: Segment, initial: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.newest = _newest(instance)
        self.overtaking = ""  # the rule that was typed, where somebody has saved another one meanwhile
        shown = {"rule": _text_of(instance), "based_on": self.newest and self.newest.number}
        super().__init__(*args, instance=instance, initial=shown | (initial or {}), **kwargs)
        rule = cast("RuleField", self.fields["rule"])
        self.fields["code"].help_text = "Rules and the API name the segment by it. It cannot be changed later."
        if instance.pk is not None:
            del self.fields["code"]
            rule.own_key = instance.code
            rule.widget.segment = instance

    def clean(self) -> dict[str, Any]:
        """Of two who edit a rule at once, the second sees that, and saves again to put the own one in its place."""
        cleaned = super().clean() or self.cleaned_data
        if self.newest is not None and cleaned.get("based_on") != self.newest.number and self.has_another_rule:
            self.overtaking = cleaned["rule"]
            who = name_of(self.newest.author) or "Somebody"
            self.add_error("rule", OVERTAKEN.format(who=who, number=self.newest.number))
        return cleaned

    @property
    def has_another_rule(self) -> bool:
        """Whether the rule differs from the one that serves or is being built."""
        rule = self.cleaned_data.get("rule")
        return rule is not None and rule != _text_in_use(self.instance)

    def save_all(self, author: User) -> bool:
        """Save the segment, and its rule where that has changed; return whether nothing was refused."""
        columns = {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.fields}
        rule = self.cleaned_data["rule"] if self.has_another_rule else None
        try:
            change_segment(self.instance, columns, rule=rule, author=author)
        except (RuleRefused, NotAllowed) as refused:
            self.add_error("rule", str(refused))
            return False
        return True


def _versions(segment: Segment) -> Any:
    return RuleVersion.objects.filter(segment_id=segment.pk).select_related("author").order_by("-number")


def _newest(segment: Segment) -> RuleVersion | None:
    return cast("RuleVersion | None", _versions(segment).first()) if segment.pk else None


def _text_in_use(segment: Segment) -> str | None:
    """Return the rule that is being built, else the one that serves."""
    if not segment.pk:
        return None
    in_use = _versions(segment).filter(state__in=[State.BUILDING, State.ACTIVE])
    return cast("str | None", in_use.values_list("rule", flat=True).first())


def _text_of(segment: Segment) -> str:
    """Return the rule that an editor begins with: where none is in use, the one that could not be built."""
    newest = _newest(segment)
    return _text_in_use(segment) or (newest.rule if newest else "")


def add(page_admin: PagedAdmin, request: HttpRequest) -> HttpResponse:
    """Show the empty form, or make the segment."""
    seat_of_maker(page_admin, request)
    return _answer(page_admin, request, Segment(kind=Segment.Kind.RULE))


def edit(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Show a segment's form, or save it; without the right to change it, only show the rule."""
    if not page_admin.has_view_permission(request, segment):
        raise PermissionDenied
    if page_admin.has_change_permission(request, segment):
        return _answer(page_admin, request, segment)
    if request.method == "POST":
        raise PermissionDenied
    return page_admin.render_page(
        request, segment, "segments/admin/rule_read.html", "change", segment=segment, rule=_text_of(segment)
    )


def _answer(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    is_new = segment.pk is None
    typed = request.POST.dict() if request.method == "POST" else {}
    if not typed or _BUTTONS & typed.keys():
        # A bound form would complain of what nobody has filled in yet.
        form = RuleForm(instance=segment, initial=_initial(request, segment, typed))
        told = _told(
            form["rule"].value(), request, "count" if "_seen" in typed else typed.get("_do", "check"), segment
        )
        return _page(page_admin, request, form, segment, told)
    form = RuleForm(request.POST, instance=segment)
    if not form.is_valid() or not form.save_all(cast("User", request.user)):
        if is_new:
            segment.pk = None  # what was undone has taken its number back
        told = _told(request.POST.get("rule", ""), request, "check", segment)
        return _page(page_admin, request, form, segment, told)
    if is_new:
        page_admin.log_addition(request, segment, "Made by a rule.")
    elif form.changed_data:
        page_admin.log_change(request, segment, f"Changed {', '.join(form.changed_data)}.")
    page_admin.message_user(request, f"The segment “{segment}” is saved.", "success")
    return HttpResponseRedirect(page_admin.url_of(segment, "overview"))


def _initial(request: HttpRequest, segment: Segment, typed: dict[str, str]) -> dict[str, Any]:
    """Return what the form shows: what was typed, with a starting point, or with the rule of an older version."""
    initial: dict[str, Any] = dict(typed)
    if put_in := rule_by_button(typed):
        initial["rule"] = put_in
    number = request.GET.get("version", "")
    if not typed and segment.pk and number.isascii() and number.isdecimal() and len(number) < 10:
        text = _versions(segment).filter(number=int(number)).values_list("rule", flat=True).first()
        initial |= {"rule": text} if text else {}
    return initial


def _told(text: str | None, request: HttpRequest, do: str, segment: Segment) -> dict[str, Any]:
    if not (text or "").strip():
        return {}
    return told_of(text or "", request, do, segment if segment.pk else None)


def _page(
    page_admin: PagedAdmin, request: HttpRequest, form: RuleForm, segment: Segment, told: dict[str, Any]
) -> TemplateResponse:
    seat = taken_seat(request)
    form.fields["rule"].widget.told = told | {"may_see_people": seat.may_see_people}
    checked = told.get("checked")
    context = {
        "title": str(segment) if segment.pk else "Add segment",
        "media": page_admin.media + form.media,
        "form": form,
        "segment": segment,
        "base_number": form.newest.number if form.newest else "",
        "theirs": _differences(form) if form.overtaking else [],
        # What is wrong inside the rule stands beside it.
        "rule_errors": form.errors.get("rule", []) if checked is None or checked.is_accepted else [],
        "starting_points": STARTING_POINTS,
        "names": names_of(seat.advertiser.pk),
        "may_delete": bool(segment.pk) and page_admin.has_delete_permission(request, segment),
    }
    if segment.pk:
        return page_admin.render_page(request, segment, "segments/admin/rule_form.html", "change", **context)
    request.current_app = page_admin.admin_site.name
    frame = {**page_admin.admin_site.each_context(request), "opts": page_admin.opts, "add": True}
    return TemplateResponse(request, "segments/admin/rule_form.html", frame | context)


def _differences(form: RuleForm) -> list[differences.Piece]:
    """Return how the rule that was typed differs from the one that was saved meanwhile, as sentences."""
    if form.newest is None:
        return []
    english = english_of(surroundings_of(form.newest.advertiser_id))
    try:
        theirs = english.sentence(rule_of(form.newest.rule))
    except RuleRefused:
        return []
    return differences.words_between(theirs, english.sentence(rule_of(form.overtaking)))
