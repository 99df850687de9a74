"""The page of profiles: find one by any identifier, and see what is known. Nothing is changed here."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.paginator import InfinitePaginator

from audience.admin.base import taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin
from audience.identity import KINDS, BadIdentifier, Key, normalise
from audience.models import Identifier, Profile, Role

IDENTIFIERS_SHOWN = 100
_LONGEST_SEARCH = 400


@dataclass(frozen=True)
class Section:
    """A part of a profile's page that a room above tells."""

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)


_tellers: list[Callable[[Profile], Section]] = []


def tells_of_profiles(teller: Callable[[Profile], Section]) -> Callable[[Profile], Section]:
    """Register a function that adds a section to a profile's page."""
    _tellers.append(teller)
    return teller


def overview(page_admin: PagedAdmin, request: HttpRequest, profile: Profile) -> HttpResponse:
    """Show a person's identifiers and what the other rooms know; note down who looked."""
    LogEntry.objects.log_actions(
        user_id=request.user.pk or 0,
        queryset=[profile],
        action_flag=CHANGE,
        change_message="Looked at.",
    )
    identifiers = Identifier.objects.filter(profile_id=profile.pk).order_by("kind", "-last_seen_at")
    return page_admin.render_page(
        request,
        profile,
        "audience/admin/profile.html",
        "overview",
        profile=profile,
        identifiers=identifiers[:IDENTIFIERS_SHOWN],
        sections=[teller(profile) for teller in _tellers],
    )


def profiles_behind(advertiser_id: int, text: str) -> set[UUID]:
    """Return the profiles that a search means: by their own id, `kind:value`, or a value of any kind."""
    keys = [Key(advertiser_id, kind, value) for kind, value in _readings(text)]
    rows = Identifier.objects.filter(advertiser=advertiser_id, pk__in=[UUID(bytes=key.id) for key in keys])
    found = set(rows.values_list("profile_id", flat=True))
    with suppress(ValueError):
        found.add(UUID(text))
    return found


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """Yield each kind of identifier that the text could be, with its value in the stored form."""
    name, _, rest = text.partition(":")
    partner, _, value = rest.partition(":")
    guesses = [(kind, text) for kind in KINDS]
    if name in KINDS:
        guesses.append((name, rest))
    if name == "partner" and value:
        guesses.append((f"partner:{partner}", value))
    for kind, guess in guesses:
        try:
            yield kind, normalise(kind, guess)
        except BadIdentifier:
            continue


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
    list_display = ("short_id", "known_as", "first_seen_at", "last_seen_at")
    list_display_links = None
    search_fields = ("id",)
    search_help_text = "A whole e-mail address, customer id, phone, browser or profile id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Profile]:
        return super().get_queryset(request).prefetch_related("identifiers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Profile], search_term: str
    ) -> tuple[QuerySet[Profile], bool]:
        text = search_term.strip()[:_LONGEST_SEARCH]
        if not text:
            return queryset, False
        return queryset.filter(pk__in=profiles_behind(taken_seat(request).advertiser.pk, text)), False

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """There is no form: the overview is the page."""
        return self._view(self.pages[0])(request, object_id)

    @admin.display(description="Profile")
    def short_id(self, row: Profile) -> str:
        link = self.url_of(row, "overview")
        return format_html('<a class="m-name" href="{}"><code>{}…</code></a>', link, str(row.pk)[:13])

    @admin.display(description="Known as")
    def known_as(self, row: Profile) -> str:
        names = [f"{one.kind} {one.value}" for one in row.identifiers.all()[:3]]
        return ", ".join(names)
