"""The base of every admin page about an advertiser's rows: what a seat sees, offers, saves and may do.

Promise: a page built on `TenantAdmin` and its inlines reads, offers and writes rows of the seat's advertiser alone.
List, search, filter, form field, autocomplete, raw id, `?fk=` pre-fill, action, history and delete preview all go
through the two functions `TenantAdmin.get_queryset` and `choosable`. An id of another advertiser is answered like one
that never was. `audience.checks` refuses to start with a page that stands beside this base.
"""

from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.auth.models import User
from django.core.exceptions import (
    FieldDoesNotExist,
    ImproperlyConfigured,
    PermissionDenied,
    ValidationError,
)
from django.db.models import Field, ForeignKey, ManyToManyField, Model, QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter

from audience.models import Advertiser, Role
from audience.teams import NOT_FOUND, Seat, seat_at
from audience.tenancy import TenantModel, current_advertiser_id

# What the filters of Django and of the theme put behind a field's name.
_FILTER_SUFFIXES = ("", "__exact", "__isnull", "__gte", "__lt", "_from", "_to")
_DATE_SUFFIXES = ("__year", "__month", "__day")


def taken_seat(request: HttpRequest) -> Seat:
    """Return the request's seat; refuse the page to somebody without one."""
    seat = seat_at(request)
    if seat is None:
        raise PermissionDenied("You are in no advertiser's team.")
    return seat


def rows_of(model: type[Model], seat: Seat) -> QuerySet[Any]:
    """Return the rows of a model that a seat's advertiser may point to."""
    if issubclass(model, TenantModel):
        return model.objects.filter(advertiser=seat.advertiser)
    if issubclass(model, Advertiser):
        return Advertiser.objects.filter(pk=seat.advertiser.pk)
    if issubclass(model, User):
        return User.objects.filter(team_memberships__advertiser=seat.advertiser)
    raise ImproperlyConfigured(f"Rows of {model.__name__} belong to no advertiser: say which may be chosen.")


class TenantForm(ModelForm):  # type: ignore[type-arg]
    """A form whose row knows its advertiser before it is validated.

    Without that, unique constraints, which all hold the advertiser, would be left out of validation and end in an
    `IntegrityError`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.advertiser_id is None:
            self.instance.advertiser_id = current_advertiser_id()

    def _get_validation_exclusions(self) -> set[str]:
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return exclusions - {"advertiser"}


class TenantRelatedFilter(RelatedDropdownFilter):
    """The only filter over a foreign key: it lists rows of the seat's advertiser.

    Use as `list_filter = [("segment", TenantRelatedFilter)]`.
    """

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(row.pk, str(row)) for row in choosable(field.remote_field.model, request, model_admin.admin_site)]


def choosable(model: type[Model], request: HttpRequest, admin_site: Any) -> QuerySet[Any]:
    """Return the rows that a form of this request may offer and take: those that the model's own list shows."""
    rows = rows_of(model, taken_seat(request))
    try:
        related_admin = admin_site.get_model_admin(model)
    except NotRegistered:
        return rows
    if not isinstance(related_admin, TenantAdmin):
        return rows
    return related_admin.get_queryset(request)


class _Scoped:
    """What pages and inlines share: rights by role, and form fields that offer the advertiser's own rows."""

    # The least role that may do it; None: nobody.
    role_to_view: Role | None = Role.VIEWER
    role_to_add: Role | None = Role.MANAGER
    role_to_change: Role | None = Role.MANAGER
    role_to_delete: Role | None = Role.MANAGER
    # A page that shows persons asks for the right to see them, too.
    needs_people = False

    form = TenantForm
    view_on_site = False
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    admin_site: Any

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_allowed(request, self.role_to_view, obj)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_allowed(request, self.role_to_add, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_allowed(request, self.role_to_change, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_allowed(request, self.role_to_delete, obj)

    def _is_allowed(self, request: HttpRequest, role: Role | None, obj: Model | None) -> bool:
        seat = seat_at(request)
        if seat is None or role is None or not seat.is_at_least(role):
            return False
        if isinstance(obj, TenantModel) and obj.advertiser_id not in (None, seat.advertiser.pk):
            return False
        return seat.may_see_people or not self.needs_people

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seat = taken_seat(request)
        rows: QuerySet[Any] = super().get_queryset(request).filter(advertiser=seat.advertiser)  # type: ignore[misc]
        return rows

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._narrowed(kwargs.get("queryset"), db_field, request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._narrowed(kwargs.get("queryset"), db_field, request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _narrowed(self, rows: QuerySet[Any] | None, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        own = choosable(db_field.remote_field.model, request, self.admin_site)
        return own if rows is None else rows.filter(pk__in=own.values("pk"))


class TenantAdmin(_Scoped, ModelAdmin):
    """A page about rows of one advertiser. Say who may do what with `role_to_…` and `needs_people`."""

    compressed_fields = False
    list_per_page = 50
    warn_unsaved_form = True
    # What one row is called on the button that adds one, where the model's own name is not a marketer's.
    noun = ""
    # What an empty list says of its rows.
    empty_list_text = ""
    # What a search says that finds none.
    nothing_found_text = ""
    # Lookups in a list's address beside those of its filters.
    allowed_lookups: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_add_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Say whether a list's address may hold this lookup: a closed list, anything else is answered 400."""
        allowed = set(self.allowed_lookups)
        for item in self.get_list_filter(request):
            allowed.update(_lookups(item))
        if self.date_hierarchy:
            allowed.update(self.date_hierarchy + suffix for suffix in _DATE_SUFFIXES)
        return lookup in allowed

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        return bool(to_field == self.opts.pk.name)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what `?field=value` fills in, without foreign keys that the form would not offer."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {name: value for name, value in initial.items() if self._may_prefill(request, name, value)}

    def _may_prefill(self, request: HttpRequest, name: str, value: Any) -> bool:
        try:
            field: Field[Any, Any] | Any = self.opts.get_field(name)
        except FieldDoesNotExist:
            return True
        if not isinstance(field, (ForeignKey, ManyToManyField)):
            return True
        keys = value if isinstance(value, list) else [value]
        own = choosable(field.remote_field.model, request, self.admin_site)
        try:
            return own.filter(pk__in=keys).count() == len(set(keys))
        except (ValueError, ValidationError):
            return False

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> Any:
        raise Http404(NOT_FOUND)


def _lookups(item: Any) -> list[str]:
    if isinstance(item, type):
        return [str(getattr(item, "parameter_name", ""))]
    field = item[0] if isinstance(item, tuple | list) else item
    names = [field + suffix for suffix in _FILTER_SUFFIXES]
    return names + ([f"{field}__id__exact"] if isinstance(item, tuple | list) else [])


class TenantTabularInline(_Scoped, TabularInline):
    """Rows of the same advertiser below their parent, a line each."""

    extra = 0


class TenantStackedInline(_Scoped, StackedInline):
    """Rows of the same advertiser below their parent, a block each."""

    extra = 0
