"""The admin site: who gets in, for which advertiser, and the pages that belong to no single room."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from audience.models import Advertiser
from audience.teams import NOT_FOUND, SESSION_KEY, Seat, advertisers_of, seat_at, seat_of
from config import system

# What somebody without a team may still do.
_OPEN_TO_ALL = {"logout", "password_change", "password_change_done", "jsi18n"}
# Django's link from any row to its public page answers for rows of every advertiser.
_SWITCHED_OFF = {"view_on_site"}


class LoginForm(AuthenticationForm):
    """Signs in whoever has a password: what one sees depends on the team, not on a flag of the user."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "User name and password do not fit. Capitals matter in both.",
    }

    def confirm_login_allowed(self, user: User) -> None:
        if not user.is_active:
            raise self.get_invalid_login_error()


class MusterSite(UnfoldAdminSite):
    """The one admin site."""

    index_template = "admin/dashboard.html"
    login_form = LoginForm
    enable_nav_sidebar = True

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # Deleting asks, and says what depends on the row; that needs a page per row.
        self.disable_action("delete_selected")

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls = [url for url in super().get_urls() if getattr(url, "name", None) not in _SWITCHED_OFF]
        own = [
            path("advertiser/", self.admin_view(self.switch), name="switch_advertiser"),
            path("system/", self.admin_view(system.show), name="system"),
        ]
        return [*own, *urls]

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Wrap a page: sign in first, then say so to somebody without a team."""
        inner = super().admin_view(view, cacheable)

        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if self.has_permission(request):
                if self._lacks_a_team(request):
                    return self.no_team(request)
                _note_entry_of_operator(request)
            return inner(request, *args, **kwargs)

        return update_wrapper(page, inner)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        user = request.user
        own = advertisers_of(user) if isinstance(user, User) and self.has_permission(request) else []
        return {**context, "seat": seat_at(request), "own_advertisers": own}

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The theme's search is off: what it found for one advertiser it would show while one works for the next."""
        raise Http404(NOT_FOUND)

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> HttpResponse:
        """The menu is the index of the rooms."""
        return HttpResponseRedirect(reverse("admin:index"))

    def switch(self, request: HttpRequest) -> HttpResponse:
        """Work for another advertiser from now on."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        chosen = request.POST.get("advertiser", "")
        seat = seat_of(request.user, int(chosen)) if chosen.isdecimal() else None
        if seat is None or str(seat.advertiser.pk) != chosen:
            raise Http404(NOT_FOUND)
        _enter(request, seat)
        return HttpResponseRedirect(reverse("admin:index"))

    def no_team(self, request: HttpRequest) -> HttpResponse:
        """Tell somebody without a team, in plain words, what to do."""
        context = {**self.each_context(request), "title": "You are in no team yet", "is_nav_sidebar_enabled": False}
        return TemplateResponse(request, "admin/no_team.html", context, status=403)

    def _lacks_a_team(self, request: HttpRequest) -> bool:
        if seat_at(request) is not None or getattr(request.user, "is_superuser", False):
            return False
        match = request.resolver_match
        return match is None or match.url_name not in _OPEN_TO_ALL


def _note_entry_of_operator(request: HttpRequest) -> None:
    """Write down which advertiser an operator came to without having chosen it."""
    seat = seat_at(request)
    if seat and getattr(request.user, "is_superuser", False) and SESSION_KEY not in request.session:
        _enter(request, seat)


def _enter(request: HttpRequest, seat: Seat) -> None:
    request.session[SESSION_KEY] = seat.advertiser.pk
    LogEntry.objects.log_actions(
        user_id=cast("User", request.user).pk,
        queryset=Advertiser.objects.filter(pk=seat.advertiser.pk),
        action_flag=CHANGE,
        change_message=f"Entered as {seat.role.value}.",
    )
