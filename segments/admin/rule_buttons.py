"""The buttons of a segment by a rule: use an old rule again, build again, stop, go on, pause and resume."""

from collections.abc import Callable, Iterator
from typing import cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.utils import timezone

from audience.admin.pages import PagedAdmin, Use
from audience.teams import NOT_FOUND
from segments import building
from segments.admin import neighbours
from segments.editing import checked_rule
from segments.models import RuleVersion, Segment
from segments.rules.refusals import RuleRefused
from segments.versions import NotAllowed, build_again, pause, resume, save_rule, users_of


def links_of(page_admin: PagedAdmin, segment: Segment) -> dict[str, str]:
    """Return where the buttons of a rule segment lead."""
    names = ("overview", "versions", "use-again", "build-again", "stop", "go-on", "pause", "resume", "why", "change")
    return {name.replace("-", "_"): page_admin.url_of(segment, name) for name in names}


def use_again(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Save the rule of an older version as a new one."""
    asked_at = timezone.now()

    def act(author: User) -> str:
        version = _wanted_version(request, segment)
        made = save_rule(segment, checked_rule(segment, version.rule), author=author)
        if made.created_at < asked_at:
            return f"Version {made.number} means the same. Nothing is built."
        return f"The rule of version {version.number} is saved as version {made.number}, which is being built."

    return _act(page_admin, request, segment, act)


def build_version_again(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Begin the building of a version anew that failed."""

    def act(author: User) -> str:
        return f"Version {build_again(_wanted_version(request, segment), author=author).number} is being built."

    return _act(page_admin, request, segment, act)


def stop(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Let the building rest."""

    def act(author: User) -> str:
        if not building.stop(_version_in_work(segment)):
            raise NotAllowed("It is stopped already.")
        return "The building is stopped. What serves goes on to serve."

    return _act(page_admin, request, segment, act)


def go_on(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Let the building go on where it was stopped."""

    def act(author: User) -> str:
        if not building.go_on(_version_in_work(segment)):
            raise NotAllowed("It is not stopped.")
        return "The building goes on where it was."

    return _act(page_admin, request, segment, act)


def pause_segment(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Ask, with what depends on the segment; when that is answered, let it take nobody in."""
    if request.method != "POST":
        uses = [use.shown_to(request) for use in dependents(page_admin, segment)]
        return page_admin.render_page(
            request,
            segment,
            "segments/admin/pause.html",
            "overview",
            segment=segment,
            uses=[use for use in uses if use],
        )

    def act(author: User) -> str:
        if not segment.is_active:
            raise NotAllowed("The segment is paused already.")
        pause(segment, author=author)
        return f"“{segment}” is paused: nobody comes in, and members leave at their ends."

    return _act(page_admin, request, segment, act)


def resume_segment(page_admin: PagedAdmin, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Let a paused segment take people in again, once its rule is built anew."""

    def act(author: User) -> str:
        if segment.is_active:
            raise NotAllowed("The segment is not paused.")
        return f"“{segment}” is resumed: version {resume(segment, author=author).number} is being built."

    return _act(page_admin, request, segment, act)


def dependents(page_admin: PagedAdmin, segment: Segment) -> Iterator[Use]:
    """Yield what uses a segment: rules of other segments, then what the rooms above tell."""
    by_segment = {version.segment_id: version.segment for version in users_of(segment)}
    for user in by_segment.values():
        yield Use("Segment", user.name, "asks for it in its rule", page_admin.url_of(user, "overview"))
    yield from neighbours.uses_of(segment)


def _wanted_version(request: HttpRequest, segment: Segment) -> RuleVersion:
    text = request.POST.get("version", "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    rows = RuleVersion.objects.filter(segment=segment, number=int(text) if is_number else -1)
    version = rows.first()
    if version is None:
        raise Http404(NOT_FOUND)
    return version


def _version_in_work(segment: Segment) -> RuleVersion:
    version = RuleVersion.objects.filter(segment=segment, state=RuleVersion.State.BUILDING).first()
    if version is None:
        raise NotAllowed("Nothing is being built any more.")
    return version


def _act(page_admin: PagedAdmin, request: HttpRequest, segment: Segment, act: Callable[[User], str]) -> HttpResponse:
    """Do what a button asks, write down who asked, and go to the segment's page."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        told = act(cast("User", request.user))
    except (NotAllowed, RuleRefused) as refused:
        messages.error(request, str(refused))
    else:
        page_admin.log_change(request, segment, told)
        messages.success(request, told)
    return HttpResponseRedirect(page_admin.url_of(segment, "overview"))


# The addresses of the buttons below a segment's own.
BUTTONS = (
    ("use-again", use_again),
    ("build-again", build_version_again),
    ("stop", stop),
    ("go-on", go_on),
    ("pause", pause_segment),
    ("resume", resume_segment),
)
