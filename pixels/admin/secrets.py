"""The page of identity secrets: with one, an advertiser's server proves which user a page speaks for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from audience.admin.base import TenantAdmin, taken_seat
from audience.models import IdentitySecret, Role
from audience.proofs import LIVE_SECRETS, make_secret


@admin.register(IdentitySecret)
class IdentitySecretAdmin(TenantAdmin):
    """The live secrets, of which nothing can be read but their age."""

    role_to_view = role_to_add = role_to_delete = Role.OWNER
    role_to_change = None
    change_list_template = "admin/tenant_list.html"
    empty_list_text = (
        "With a secret your server makes a userHash, and a page with a public key can speak for its user."
    )
    list_display = ("created_at",)
    list_display_links = None
    fields = ()

    def save_model(self, request: HttpRequest, obj: IdentitySecret, form: Any, change: bool) -> None:
        request.plain_secret = make_secret(taken_seat(request).advertiser)  # type: ignore[attr-defined]
        obj.__dict__.update(IdentitySecret.objects.latest("pk").__dict__)

    def response_add(self, request: HttpRequest, obj: IdentitySecret, post_url_continue: Any = None) -> HttpResponse:
        """Show the secret in the answer itself: a second look finds nothing."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": "Your new identity secret",
            "plain": request.plain_secret,  # type: ignore[attr-defined]
            "live_secrets": LIVE_SECRETS,
            "media": self.media,
        }
        return TemplateResponse(request, "pixels/admin/new_secret.html", context)
