"""The page of advertisers: all of them for the operator, one's own for a team."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from audience.admin.base import TenantAdmin
from audience.admin.fields import HostLinesField, OriginLinesField, RedirectHostLinesField
from audience.models import Advertiser, HostListField, OriginListField, RedirectHostListField, Role
from audience.teams import seat_at


class AdvertiserForm(forms.ModelForm):  # type: ignore[type-arg]
    """An advertiser; a pixel host of its own belongs to one advertiser alone."""

    def clean_phone_country(self) -> str:
        code: str = self.cleaned_data["phone_country"]
        return code.upper()

    def clean_currency(self) -> str:
        code: str = self.cleaned_data["currency"]
        return code.upper()

    def clean_first_party_hosts(self) -> list[str]:
        hosts: list[str] = self.cleaned_data["first_party_hosts"]
        others = Advertiser.objects.exclude(pk=self.instance.pk).filter(first_party_hosts__overlap=hosts)
        if hosts and others.exists():
            raise ValidationError("Another advertiser has one of these hosts.")
        return hosts


@admin.register(Advertiser)
class AdvertiserAdmin(TenantAdmin):
    """Name and hosts that could reach into other advertisers are the operator's; the rest is the team's."""

    form = AdvertiserForm  # type: ignore[assignment]
    role_to_view = Role.MANAGER
    role_to_change = Role.OWNER
    list_display = ("name", "time_zone", "created_at")
    search_fields = ("name",)
    fields = (
        *("name", "time_zone", "phone_country", "currency"),
        *("domains", "page_origins", "redirect_hosts", "first_party_hosts", "is_cookie_check_on"),
    )
    formfield_overrides = {
        HostListField: {"form_class": HostLinesField},
        OriginListField: {"form_class": OriginLinesField},
        RedirectHostListField: {"form_class": RedirectHostLinesField},
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Advertiser]:
        if _is_operator(request):
            return Advertiser.objects.all()
        seat = seat_at(request)
        return Advertiser.objects.filter(pk=seat.advertiser.pk) if seat else Advertiser.objects.none()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request) or (super().has_view_permission(request) and _is_own(request, obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request) or (super().has_change_permission(request) and _is_own(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # A unique name's error would tell which other advertisers there are; a host that is taken, too.
        return () if _is_operator(request) else ("name", "first_party_hosts")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        seat = seat_at(request)
        if not _is_operator(request) and seat is not None and self.has_view_permission(request):
            return HttpResponseRedirect(reverse("admin:audience_advertiser_change", args=[seat.advertiser.pk]))
        return super().changelist_view(request, extra_context)


def _is_operator(request: HttpRequest) -> bool:
    return request.user.is_active and getattr(request.user, "is_superuser", False)


def _is_own(request: HttpRequest, obj: Advertiser | None) -> bool:
    seat = seat_at(request)
    return obj is None or (seat is not None and obj.pk == seat.advertiser.pk)
