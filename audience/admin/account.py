"""The page of accounts: find a company by its key, and see what is known of it and of its people. Read only."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.paginator import InfinitePaginator

from audience.accounts import account_id
from audience.activity import PEOPLE_ASKED, PEOPLE_READ, people_of, pooled_activity
from audience.admin.base import taken_seat
from audience.admin.pages import ObjectPage, PagedAdmin
from audience.admin.profile import known_as, note_look
from audience.admin.sections import sections_of_account
from audience.admin.told import known_of
from audience.models import Account, AccountAttribute, AccountMember, Role
from audience.teams import NOT_FOUND
from audience.timeline import entry_of

PEOPLE_OF_A_PAGE = 50
ATTRIBUTES_SHOWN = 1000
_LONGEST_SEARCH = 400


def overview(page_admin: PagedAdmin, request: HttpRequest, account: Account) -> HttpResponse:
    """Show what is known of a company, who belongs to it and what they did; note down who looked."""
    note_look(request, account)
    attributes = AccountAttribute.objects.filter(account_id=account.pk).order_by("name")
    members, next_after = _members(account, _wanted_after(request))
    people = people_of(account)
    return page_admin.render_page(
        request,
        account,
        "audience/admin/account.html",
        "overview",
        account=account,
        attributes=known_of(attributes[:ATTRIBUTES_SHOWN]),
        members=members,
        next_after=next_after,
        sections=sections_of_account(account),
        entries=[entry_of(event, of=event.profile_id) for event in pooled_activity(account, people)],
        people_read=PEOPLE_READ if len(people) == PEOPLE_READ else 0,
        people_asked=PEOPLE_ASKED if len(people) > PEOPLE_ASKED else 0,
        is_first_page=not request.GET.get("after"),
    )


def _members(account: Account, after: UUID | None) -> tuple[list[tuple[AccountMember, str]], UUID | None]:
    """Return one page of people, each with what they are known as, and the key after which the next one begins."""
    rows = AccountMember.objects.filter(account_id=account.pk)
    if after is not None:
        rows = rows.filter(profile_id__gt=after)
    ordered = rows.select_related("profile").prefetch_related("profile__identifiers").order_by("profile_id")
    found = list(ordered[: PEOPLE_OF_A_PAGE + 1])
    page = found[:PEOPLE_OF_A_PAGE]
    next_after = page[-1].profile_id if len(found) > PEOPLE_OF_A_PAGE else None
    return [(row, known_as(row.profile)) for row in page], next_after


def _wanted_after(request: HttpRequest) -> UUID | None:
    text = request.GET.get("after", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404(NOT_FOUND) from None


@admin.register(Account)
class AccountAdmin(PagedAdmin):
    """Companies, as the advertiser knows them."""

    role_to_view = Role.ANALYST
    role_to_add = role_to_change = role_to_delete = None
    needs_people = True
    pages = (ObjectPage("overview", "Account", overview, Role.ANALYST),)
    form_tab = ""
    # As with profiles: pages go by the key, and nobody counts.
    paginator = InfinitePaginator
    ordering = ("-id",)
    sortable_by = ()
    empty_list_text = "Accounts appear here with the first group call of the HTTP API: see docs/http-api.md."
    nothing_found_text = "No account has this key. Write the whole key, as your systems do."
    list_display = ("key_link", "first_seen_at", "last_seen_at")
    list_display_links = None
    search_fields = ("id",)
    search_help_text = "A whole account key"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Account], search_term: str
    ) -> tuple[QuerySet[Account], bool]:
        text = search_term.strip()[:_LONGEST_SEARCH]
        if not text:
            return queryset, False
        keys = [UUID(bytes=account_id(taken_seat(request).advertiser.pk, text))]
        with suppress(ValueError):
            keys.append(UUID(text))
        return queryset.filter(pk__in=keys), False

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """There is no form: the overview is the page."""
        return self._view(self.pages[0])(request, object_id)

    @admin.display(description="Account")
    def key_link(self, row: Account) -> str:
        return format_html('<a class="m-name" href="{}">{}</a>', self.url_of(row, "overview"), row.key)
