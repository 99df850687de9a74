"""The page of the team: who works for the advertiser, and in which role."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from audience.admin.base import TenantAdmin, TenantForm, taken_seat
from audience.invitations import find_or_invite
from audience.models import Role, TeamMembership


def sign_of(user: User) -> str:
    """Return what a teammate is called here: the address that the owner knows, nothing that another team gave."""
    return user.email or user.get_username()


class TeamForm(TenantForm):
    """A teammate, named by the e-mail address."""

    address = forms.CharField(
        label="E-mail",
        max_length=254,
        widget=UnfoldAdminTextInputWidget({"inputmode": "email", "autocapitalize": "none"}),
        help_text="Somebody without an account gets a mail with a link to choose a password.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields.pop("address", None)

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"].strip()
        team = TeamMembership.objects.filter(advertiser_id=self.instance.advertiser_id)
        is_member = team.filter(user__email__iexact=address) | team.filter(user__username__iexact=address)
        if is_member.exists():
            raise ValidationError("This person is in the team already.")
        # Somebody without an e-mail address, the operator for example, is named by the user name.
        if not User.objects.filter(username=address, email="").exists():
            validate_email(address)
        return address

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("may_see_people") and cleaned.get("role") == Role.VIEWER:
            self.add_error("may_see_people", "A viewer sees numbers, not people. Choose another role.")
        return cleaned


@admin.register(TeamMembership)
class TeamAdmin(TenantAdmin):
    """Nobody edits or removes the own membership: there is always an owner left."""

    role_to_view = role_to_add = role_to_change = role_to_delete = Role.OWNER
    form = TeamForm
    noun = "teammate"
    list_display = ("teammate", "role_name", "people")
    list_filter = (("role", ChoicesDropdownFilter),)
    search_fields = ("user__email", "user__username")
    search_help_text = "Search by e-mail"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("teammate", "role", "may_see_people") if obj else ("address", "role", "may_see_people")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("teammate",) if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[TeamMembership]:
        return super().get_queryset(request).select_related("user")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not _is_self(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not _is_self(request, obj)

    def save_model(self, request: HttpRequest, obj: TeamMembership, form: Any, change: bool) -> None:
        if not change:
            obj.user = find_or_invite(form.cleaned_data["address"], taken_seat(request).advertiser, request)
        super().save_model(request, obj, form, change)

    @admin.display(description="Teammate", ordering="user__email")
    def teammate(self, row: TeamMembership) -> str:
        return sign_of(row.user)

    @admin.display(description="People")
    def people(self, row: TeamMembership) -> str:
        is_owner = row.role == Role.OWNER
        return "may see them" if row.may_see_people or is_owner else "numbers only"

    @admin.display(description="Role", ordering="role")
    def role_name(self, row: TeamMembership) -> str:
        return row.get_role_display().partition(":")[0]


def _is_self(request: HttpRequest, row: TeamMembership | None) -> bool:
    return row is not None and row.user_id == request.user.pk
