"""The page of users: the operator's alone."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from audience.models import TeamMembership


class _OperatorOnly:
    """Whoever is no operator may do nothing here, whatever Django's own permissions say."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_operator(request)


def _is_operator(request: HttpRequest) -> bool:
    return request.user.is_active and getattr(request.user, "is_superuser", False)


class TeamsOfUser(_OperatorOnly, TabularInline):
    model = TeamMembership
    fields = ("advertiser", "role", "may_see_people")
    extra = 0
    verbose_name_plural = "Teams"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_operator(request)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class OperatorUserAdmin(_OperatorOnly, UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Accounts. What somebody may do follows from the teams; the operator may do everything."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (TeamsOfUser,)
    list_display = ("username", "email", "is_operator", "is_active", "last_login")
    list_filter = ("is_active", "is_superuser")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    view_on_site = False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = True
        super().save_model(request, obj, form, change)

    @admin.display(description="Operator", ordering="is_superuser", boolean=True)
    def is_operator(self, row: User) -> bool:
        return row.is_superuser
