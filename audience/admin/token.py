"""The page of API tokens: made by an owner, shown once, revoked at once."""

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget

from audience.admin.base import TenantForm, taken_seat
from audience.admin.pages import RemovableAdmin
from audience.models import ApiToken, Role
from audience.tokens import LIVE_TOKENS_PER_ADVERTISER, issue_token, live_tokens, revoke_token

LIVES = ((30, "30 days"), (90, "90 days"), (365, "1 year"))


class TokenForm(TenantForm):
    """A new token; what it may do and until when."""

    days = forms.TypedChoiceField(
        label="Valid for",
        choices=LIVES,
        coerce=int,
        initial=90,
        widget=UnfoldAdminSelectWidget,
        help_text="Make a new one before it ends; both work side by side.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if live_tokens(self.instance.advertiser).count() >= LIVE_TOKENS_PER_ADVERTISER:
            raise forms.ValidationError(f"You have {LIVE_TOKENS_PER_ADVERTISER} live tokens. Revoke one first.")
        if cleaned.get("may_see_people") and cleaned.get("role") == Role.VIEWER:
            self.add_error("may_see_people", "A viewer sees numbers, not people. Choose another role.")
        return cleaned


@admin.register(ApiToken)
class TokenAdmin(RemovableAdmin):
    """Keys of integrations."""

    role_to_view = role_to_add = role_to_delete = Role.OWNER
    role_to_change = None
    form = TokenForm
    form_tab = ""
    change_list_template = "admin/tenant_list.html"
    delete_word = "Revoke"
    deleting_means = "Whoever uses it is refused from the next call on. It cannot be brought back."
    empty_list_text = "A token lets another system use the API in your name."
    list_display = ("name", "shown_prefix", "role_name", "people", "state", "expires_at", "last_used_at")
    search_fields = ("name", "prefix")
    search_help_text = "Search by name or beginning"
    add_fields = ("name", "role", "may_see_people", "days")
    seen_fields = (
        *("name", "shown_prefix", "role", "may_see_people", "state"),
        *("created_at", "made_by", "expires_at", "last_used_at", "revoked_at"),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.seen_fields if obj else self.add_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.seen_fields if obj else ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super(RemovableAdmin, self).get_queryset(request).select_related("created_by")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Make the token; what was typed is only its description."""
        token, plain = issue_token(
            taken_seat(request).advertiser,
            name=obj.name,
            role=Role(obj.role),
            expires_at=timezone.now() + timedelta(days=form.cleaned_data["days"]),
            may_see_people=obj.may_see_people,
            created_by=cast("User", request.user),
        )
        obj.__dict__.update(token.__dict__)
        request.plain_token = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: Any = None) -> HttpResponse:
        """Show the token in the answer itself: it is stored nowhere, so a second look finds nothing."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": "Your new token",
            "plain": request.plain_token,  # type: ignore[attr-defined]
            "media": self.media,
        }
        return TemplateResponse(request, "audience/admin/new_token.html", context)

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        revoke_token(obj)

    @admin.display(description="Begins with")
    def shown_prefix(self, row: ApiToken) -> str:
        return format_html("<code>muster_{}…</code>", row.prefix)

    @admin.display(description="Made by")
    def made_by(self, row: ApiToken) -> str:
        user = row.created_by
        return (user.email or user.get_username()) if user else "somebody who has left"

    @admin.display(description="Role", ordering="role")
    def role_name(self, row: ApiToken) -> str:
        return row.get_role_display().partition(":")[0]

    @admin.display(description="People")
    def people(self, row: ApiToken) -> str:
        return "may see them" if row.may_see_people else "numbers only"

    @admin.display(description="State")
    def state(self, row: ApiToken) -> str:
        tone, name = "firing", "live"
        if row.revoked_at:
            tone, name = "refusing", "revoked"
        elif row.expires_at <= timezone.now():
            tone, name = "paused", "ended"
        return format_html('<span class="m-state m-state--{}">{}</span>', tone, name)
