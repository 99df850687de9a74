"""The page of write keys: made by an owner, a server key shown once, revoked at once, with what each one brought."""

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audience.admin.base import taken_seat
from audience.admin.pages import RemovableAdmin
from audience.models import Role, WriteKey
from audience.writekeys import issue_write_key, revoke_write_key
from pixels.admin.live import KEY_PAGES
from pixels.messages.errors import MessageError
from pixels.messages.outcomes import End, ends_of
from pixels.reasons import SUPPRESSING, Outcome
from pixels.sdk import SNIPPET

_SENTENCES = {str(error): error.label for error in (*MessageError, *SUPPRESSING)}


@admin.register(WriteKey)
class WriteKeyAdmin(RemovableAdmin):
    """Keys by which pages, apps and servers send events."""

    role_to_view = Role.MANAGER
    role_to_add = role_to_change = role_to_delete = Role.OWNER
    pages = KEY_PAGES
    form_tab = "Key"
    change_list_template = "admin/tenant_list.html"
    delete_word = "Revoke"
    deleting_means = "Whoever sends with it is refused within a second. It cannot be brought back."
    empty_list_text = "A write key lets pages, apps and servers send events: see docs/http-api.md."
    list_display = ("name", "kind_name", "shown_key", "state", "last_day")
    search_fields = ("name", "public_key", "prefix")
    search_help_text = "Search by name or key"
    add_fields = ("name", "kind", "is_origin_enforced")
    seen_fields = ("kind_name", "shown_key", "state", "created_at", "made_by", "revoked_at", "endings")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return self.add_fields
        return ("name", "is_origin_enforced", *self.seen_fields, *(("snippet",) if obj.public_key else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.seen_fields, "snippet") if obj else ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super(RemovableAdmin, self).get_queryset(request).select_related("created_by")

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        found = ends_of(rows, timezone.now())
        for row in rows:
            row.ends = found[row.pk]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def save_model(self, request: HttpRequest, obj: WriteKey, form: Any, change: bool) -> None:
        """Make the key; what was typed is its description."""
        if change:
            super().save_model(request, obj, form, change)
            return
        key, plain = issue_write_key(
            taken_seat(request).advertiser,
            name=obj.name,
            kind=WriteKey.Kind(obj.kind),
            created_by=cast("User", request.user),
        )
        if obj.is_origin_enforced:
            key.is_origin_enforced = True
            key.save(update_fields=["is_origin_enforced"])
        obj.__dict__.update(key.__dict__)
        request.plain_key = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: WriteKey, post_url_continue: Any = None) -> HttpResponse:
        """Show the key in the answer itself: of a server key a second look finds nothing."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": "Your new write key",
            "plain": request.plain_key,  # type: ignore[attr-defined]
            "snippet": _snippet(obj),
            "media": self.media,
        }
        return TemplateResponse(request, "pixels/admin/new_write_key.html", context)

    def delete_model(self, request: HttpRequest, obj: WriteKey) -> None:
        revoke_write_key(obj)

    @admin.display(description="Kind", ordering="kind")
    def kind_name(self, row: WriteKey) -> str:
        return row.get_kind_display().partition(":")[0]

    @admin.display(description="Key")
    def shown_key(self, row: WriteKey) -> str:
        return format_html("<code>{}</code>", row.public_key or f"ms_{row.prefix}…")

    @admin.display(description="Made by")
    def made_by(self, row: WriteKey) -> str:
        user = row.created_by
        return (user.email or user.get_username()) if user else "somebody who has left"

    @admin.display(description="State")
    def state(self, row: WriteKey) -> str:
        tone, name = ("refusing", "revoked") if row.revoked_at else ("firing", "live")
        return format_html('<span class="m-state m-state--{}">{}</span>', tone, name)

    @admin.display(description="Last 24 hours")
    def last_day(self, row: Any) -> str:
        kept = sum(number for end, number in row.ends.items() if end.outcome != Outcome.REJECTED)
        refused = row.ends.total() - kept
        return f"{kept:,} kept" + (f", {refused:,} refused" if refused else "") if row.ends else "nothing yet"

    @admin.display(description="Messages of the last 24 hours")
    def endings(self, row: WriteKey) -> str:
        ends = ends_of([row], timezone.now())[row.pk]
        if not ends:
            return "None came."
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", _lines(ends.most_common())))

    @admin.display(description="For your pages")
    def snippet(self, row: WriteKey) -> str:
        return format_html('<pre class="m-code" tabindex="0">{}</pre>', _snippet(row))


def _snippet(row: WriteKey) -> str:
    """Return what a page holds to send with a public key; nothing for a server key, which no page may hold."""
    if row.public_key is None:
        return ""
    begin = f'muster.init("{row.public_key}",{{autoPage:true}});'
    return f'<script>{SNIPPET}{begin}</script><script async src="{settings.MUSTER_PIXEL_URL}/muster.js"></script>'


def _lines(ends: list[tuple[End, int]]) -> list[tuple[SafeString | str]]:
    return [
        (format_html("{} <code>{}</code> {}", f"{number:,}", error or outcome, _SENTENCES.get(error, "")),)
        for (outcome, error), number in ends
    ]
