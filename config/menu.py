"""The admin's menu: which pages there are, in which order, and for whom."""

from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from audience.teams import seat_at


class Entry(NamedTuple):
    """One line of the menu: a model's list, as `app_label.model_name`, or another page of the model by its name.

    Without a model it is a page of the site's own, for operators. `is_for_makers`: who may add rows of the model.
    """

    title: str
    icon: str
    model: str
    page: str = "changelist"
    is_for_makers: bool = False

    @property
    def link(self) -> str:
        return reverse(f"admin:{self.model.replace('.', '_')}_{self.page}" if self.model else f"admin:{self.page}")


class Group(NamedTuple):
    """Lines under one heading; it is left out while it has none."""

    title: str
    entries: tuple[Entry, ...]


MENU = (
    Group(
        "",
        (
            Entry("Segments", "group_work", "segments.segment"),
            Entry("Try a rule", "rule", "segments.segment", "try_rule", is_for_makers=True),
            Entry("Pixels", "sensors", "pixels.pixel"),
            Entry("Audience", "person_search", "audience.profile"),
            Entry("Accounts", "apartment", "audience.account"),
        ),
    ),
    Group(
        "Exports",
        (
            Entry("Exports", "outbox", "exports.export"),
            Entry("Runs", "receipt_long", "exports.run"),
            Entry("Destinations", "dns", "exports.destination"),
        ),
    ),
    Group("Reports", (Entry("Segment loads", "bar_chart", "segments.segment", "loads"),)),
    Group(
        "Settings",
        (
            Entry("Advertiser", "storefront", "audience.advertiser"),
            Entry("Partners", "handshake", "pixels.partner"),
            Entry("Team", "groups", "audience.teammembership"),
            Entry("API tokens", "key", "audience.apitoken"),
            Entry("Write keys", "vpn_key", "audience.writekey"),
            Entry("Identity secrets", "encrypted", "audience.identitysecret"),
        ),
    ),
    Group(
        "Installation",
        (
            Entry("Users", "manage_accounts", "auth.user"),
            Entry("System", "monitor_heart", "", "system"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the menu that this user may open."""
    groups: list[dict[str, Any]] = [{"title": one.title, "items": _items(one, request)} for one in MENU]
    home = {"title": "Dashboard", "icon": "space_dashboard", "link": reverse("admin:index")}
    groups[0]["items"].insert(0, home)
    return [group for group in groups if group["items"]]


def _items(group: Group, request: HttpRequest) -> list[dict[str, Any]]:
    # The theme would mark a model's list on all addresses below it; some have a line of their own.
    own_pages = {entry.link for one in MENU for entry in one.entries if entry.page != "changelist"}
    items: list[dict[str, Any]] = []
    for entry in group.entries:
        if _may_open(entry, request):
            is_here = {"active": entry.link == request.path} if request.path in own_pages else {}
            items.append({"title": entry.title, "icon": entry.icon, "link": entry.link, **is_here})
    return items


def _may_open(entry: Entry, request: HttpRequest) -> bool:
    if not entry.model:
        return bool(getattr(request.user, "is_superuser", False))
    page = admin.site._registry.get(apps.get_model(entry.model))
    if page is None:
        return False
    return page.has_add_permission(request) if entry.is_for_makers else page.has_view_permission(request)


def site_title(request: HttpRequest) -> str:
    """Return what stands in the browser's tab."""
    seat = seat_at(request)
    return f"{seat.advertiser} · Muster" if seat else "Muster"
