"""The page of profiles: find one by any identifier, and see what is known. Nothing is changed here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.paginator import InfinitePaginator

from audience.admin.base import taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin
from audience.admin.sections import sections_of_profile
from audience.admin.told import known_of
from audience.finding import profile_after_merge, profiles_behind
from audience.models import AccountMember, Attribute, Identifier, Profile, Role, Touch
from audience.teams import NOT_FOUND
from audience.timeline import Mark, newest_event, read_mark, read_timeline

IDENTIFIERS_SHOWN = 100
ATTRIBUTES_SHOWN = 1000
ACCOUNTS_SHOWN = 50
_LONGEST_SEARCH = 400


class Surroundings(NamedTuple):
    """Where and with what somebody was seen last, in words; what is not known is empty."""

    place: str = ""
    weather: str = ""
    device: str = ""
    browser: str = ""


class CameFrom(NamedTuple):
    """A first or last touch, in words."""

    which: str
    source: str
    at: datetime


def overview(page_admin: PagedAdmin, request: HttpRequest, profile: Profile) -> HttpResponse:
    """Show who a person is, what is known and what happened; note down who looked."""
    note_look(request, profile)
    identifiers = Identifier.objects.filter(profile_id=profile.pk).order_by("kind", "-last_seen_at")
    attributes = Attribute.objects.filter(profile_id=profile.pk).order_by("name")
    accounts = AccountMember.objects.filter(profile_id=profile.pk).select_related("account").order_by("account_id")
    before = wanted_mark(request)
    return page_admin.render_page(
        request,
        profile,
        "audience/admin/profile.html",
        "overview",
        profile=profile,
        surroundings=surroundings_of(profile),
        touches=touches_of(profile),
        identifiers=identifiers[:IDENTIFIERS_SHOWN],
        attributes=known_of(attributes[:ATTRIBUTES_SHOWN]),
        accounts=accounts[:ACCOUNTS_SHOWN],
        sections=sections_of_profile(profile),
        timeline=read_timeline(profile.pk, before),
        is_first_page=before is None,
    )


def known_as(profile: Profile) -> str:
    """Return a few of a profile's identifiers, which the caller has fetched before."""
    return ", ".join(f"{one.kind} {one.value}" for one in profile.identifiers.all()[:3])


def note_look(request: HttpRequest, row: Model) -> None:
    """Write down who looked at a person, or at a company's people."""
    LogEntry.objects.log_actions(
        user_id=request.user.pk or 0, queryset=[row], action_flag=CHANGE, change_message="Looked at."
    )


def wanted_mark(request: HttpRequest) -> Mark | None:
    """Return where in the timeline the page begins, by its address; None at the newest entry."""
    text = request.GET.get("before", "")
    mark = read_mark(text)
    if text and mark is None:
        raise Http404(NOT_FOUND)
    return mark


def surroundings_of(profile: Profile) -> Surroundings:
    """Return what the newest event tells of place, weather, device and browser."""
    event = newest_event(profile.pk)
    context = event.context if event else {}
    return Surroundings(
        place=_words(context.get("place"), "city", "region", "country"),
        weather=_weather(context.get("weather")),
        device=_words(context.get("device"), "brand", "model", "type"),
        browser=_words(context.get("browser"), "name", "version"),
    )


def touches_of(profile: Profile) -> list[CameFrom]:
    """Return where somebody came from first and last, where that is known."""
    rows = Touch.objects.filter(profile_id=profile.pk).order_by("which")
    return [CameFrom(row.which, _words(row.source, "medium", "name", "campaign"), row.at) for row in rows]


def _weather(group: Any) -> str:
    degrees = _words(group, "temperature")
    return " · ".join(filter(None, [_words(group, "condition"), degrees and f"{degrees} °C"]))


def _words(group: Any, *names: str) -> str:
    """Return what is known of a group, each word once: the medium and the name of a direct visit are the same."""
    known = group if isinstance(group, Mapping) else {}
    return " · ".join(dict.fromkeys(str(known[name]) for name in names if known.get(name) not in (None, "")))


@admin.register(Profile)
class ProfileAdmin(PagedAdmin):
    """People and browsers, as the advertiser knows them."""

    role_to_view = Role.ANALYST
    role_to_add = role_to_change = role_to_delete = None
    needs_people = True
    pages = (ObjectPage("overview", "Profile", overview, Role.ANALYST),)
    form_tab = ""
    # The table is large: pages go by the key, and nobody counts.
    paginator = InfinitePaginator
    ordering = ("-id",)
    sortable_by = ()
    empty_list_text = "People appear here with the first fire of a pixel."
    list_display = ("short_id", "names", "first_seen_at", "last_seen_at")
    list_display_links = None
    search_fields = ("id",)
    search_help_text = "A whole e-mail address, phone, customer id, device, browser or profile id"
    nothing_found_text = (
        "Nobody is known by this. Write the whole identifier: parts find nobody, and a phone number needs its country"
        " code, unless your settings name a country."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Profile]:
        return super().get_queryset(request).prefetch_related("identifiers")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Profile | None:
        """Find a profile by its id, or by the id of one that went into it: links to that one stand in older pages."""
        found: Profile | None = super().get_object(request, object_id, from_field)
        if found is None and (into := profile_after_merge(object_id)) is not None:
            found = super().get_object(request, str(into), from_field)
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Profile], search_term: str
    ) -> tuple[QuerySet[Profile], bool]:
        text = search_term.strip()[:_LONGEST_SEARCH]
        if not text:
            return queryset, False
        return queryset.filter(pk__in=profiles_behind(taken_seat(request).advertiser, text)), False

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """There is no form: the overview is the page."""
        return self._view(self.pages[0])(request, object_id)

    @admin.display(description="Profile")
    def short_id(self, row: Profile) -> str:
        link = self.url_of(row, "overview")
        return format_html('<a class="m-name" href="{}"><code>{}…</code></a>', link, str(row.pk)[:13])

    @admin.display(description="Known as")
    def names(self, row: Profile) -> str:
        return known_as(row)
