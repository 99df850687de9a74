"""The pages of partners: whom an advertiser shares ids of browsers with, and whose pixels follow its fires."""

from typing import Any

from django.contrib import admin
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html

from audience.admin.base import TenantAdmin, TenantStackedInline
from audience.admin.fields import RedirectHostLinesField
from audience.models import RedirectHostListField, Role
from pixels.editing import MOST_PIGGYBACKS, TOO_MANY_PIGGYBACKS
from pixels.models import Partner, Piggyback
from segments.admin import neighbours


@admin.register(Partner)
class PartnerAdmin(TenantAdmin):
    """Names, hosts and id-sync addresses of partners."""

    role_to_view = Role.MANAGER
    change_list_template = "admin/tenant_list.html"
    empty_list_text = (
        "A partner gives your visitors ids of its own, or asks who they are for you, so that both can speak of the "
        "same people."
    )
    list_display = ("name", "listed_hosts", "sync")
    search_fields = ("name",)
    search_help_text = "Search by name"
    fields = ("name", "hosts", "sync_url")
    formfield_overrides = {RedirectHostListField: {"form_class": RedirectHostLinesField}}

    @admin.display(description="Hosts")
    def listed_hosts(self, row: Any) -> str:
        return ", ".join(row.hosts) or "none: it cannot ask"

    @admin.display(description="Is told who a browser is")
    def sync(self, row: Any) -> str:
        return row.sync_url or "only when it asks"


class PiggybackFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """The piggybacks of one segment."""

    default_error_messages = {
        **BaseInlineFormSet.default_error_messages,
        "too_many_forms": TOO_MANY_PIGGYBACKS,
    }


@neighbours.add_inline
class PiggybackInline(TenantStackedInline):
    """The partners' pixels that follow a fire which has added to a segment.

    Not folded as the other settings are: the theme's script stumbles over stacked rows that are.
    """

    model = Piggyback
    formset = PiggybackFormSet
    fields = ("kind", "url", "state")
    readonly_fields = ("state",)
    role_to_view = Role.MANAGER
    verbose_name_plural = "Piggyback pixels"
    max_num = MOST_PIGGYBACKS

    @admin.display(description="State")
    def state(self, row: Any) -> str:
        if row.pk is None:
            return ""
        why = row.why_silent()
        return format_html('<span class="m-bad">Does not fire. {}</span>', why) if why else "Fires"

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, validate_max=True, **kwargs)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("segment", "advertiser")
