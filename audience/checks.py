"""Start-up checks of tenancy: what would let one advertiser see another's rows stops the start."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from django.apps import AppConfig, apps
from django.contrib import admin
from django.contrib.admin import FieldListFilter, SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.checks import CheckMessage, Error
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.models import F, ForeignKey, Model, UniqueConstraint

from audience.admin.base import (
    TenantAdmin,
    TenantForm,
    TenantRelatedFilter,
    TenantStackedInline,
    TenantTabularInline,
)
from audience.schema import key_name
from audience.tenancy import TenantManager, TenantModel

# A distributed identifier table lies apart from its profiles: statements join on the advertiser as well. Fires are
# written with counts that have the key (`pixels.batch`), events under the lock of their profile, which says whose it
# is (`audience.recording`).
WITHOUT_KEY = {("audience.Identifier", "profile"), ("audience.Event", "profile"), ("pixels.Fire", "pixel")}
# Who works for whom is asked across advertisers when somebody signs in.
WITHOUT_MANAGER = {"audience.TeamMembership"}


def check_tenancy(app_configs: Sequence[AppConfig] | None = None, **_: object) -> list[CheckMessage]:
    """Return what is wrong with tenants' models and with admin pages about them."""
    models = apps.get_models()
    pages = list(admin.site._registry.values())
    return [*check_models(models), *check_pages(pages)]


def check_models(models: Sequence[type[Model]]) -> Iterator[CheckMessage]:
    """Yield an error for each model with an advertiser that misses the manager or a composite key."""
    for model in models:
        label = model._meta.label
        is_kept = isinstance(model._default_manager, TenantManager)
        if _has_advertiser(model) and not is_kept and label not in WITHOUT_MANAGER:
            yield _error(1, f"{label} has an advertiser and is no TenantModel.", model)
        if issubclass(model, TenantModel):
            yield from _missing_keys(model)


def check_pages(pages: Sequence[Any]) -> Iterator[CheckMessage]:
    """Yield an error for each admin page or inline about a tenant's rows that stands beside the base."""
    for page in pages:
        if issubclass(page.model, TenantModel):
            yield from _check_page(page)
        for inline in page.inlines:
            if issubclass(inline.model, TenantModel):
                yield from _check_inline(inline)


def _check_page(page: Any) -> Iterator[CheckMessage]:
    name = type(page).__name__
    if not isinstance(page, TenantAdmin):
        yield _error(3, f"{name} shows {page.model.__name__} and is no TenantAdmin.", type(page))
        return
    if page.list_editable:
        yield _error(4, f"{name} has list_editable: rows are changed on their own page.", type(page))
    for item in page.list_filter:
        if not _is_filter_safe(page.model, item):
            yield _error(5, f"{name} filters by {item!r}: over a foreign key use TenantRelatedFilter.", type(page))
    yield from _check_form(page.form, page, type(page))


def _check_inline(inline: Any) -> Iterator[CheckMessage]:
    if not issubclass(inline, (TenantTabularInline, TenantStackedInline)):
        yield _error(3, f"{inline.__name__} shows {inline.model.__name__} and is no Tenant…Inline.", inline)
        return
    yield from _check_form(inline.form, inline, inline)


def _check_form(form: type, page: Any, where: type) -> Iterator[CheckMessage]:
    if not issubclass(form, TenantForm):
        yield _error(6, f"{where.__name__} has a form that is no TenantForm.", where)
    if page.role_to_add is None and page.role_to_change is None:
        return
    for fields in _unique_keys(page.model):
        names = {field.name for field in page.model._meta.fields if field.editable}
        if "advertiser" not in fields and set(fields) <= names:
            text = f"{page.model.__name__} is unique in {fields} over all advertisers: errors tell what others have."
            yield _error(7, text, where)


def _is_filter_safe(model: type[Model], item: Any) -> bool:
    if isinstance(item, type):
        return issubclass(item, SimpleListFilter)
    field, kind = item if isinstance(item, list | tuple) else (item, FieldListFilter)
    is_related = any(step.is_relation for step in get_fields_from_path(model, field))
    return not is_related or issubclass(kind, TenantRelatedFilter)


def _unique_keys(model: type[Model]) -> Iterator[tuple[str, ...]]:
    options = model._meta
    for field in options.fields:
        if field.unique and not field.primary_key:
            yield (field.name,)
    yield from (tuple(names) for names in options.unique_together)
    for constraint in options.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield tuple(constraint.fields) or tuple(_names_in(constraint.expressions))


def _names_in(expressions: Sequence[Any]) -> Iterator[str]:
    for expression in expressions:
        if isinstance(expression, F):
            yield expression.name  # type: ignore[attr-defined]
        else:
            yield from _names_in(expression.get_source_expressions())


def _has_advertiser(model: type[Model]) -> bool:
    """Say whether every row has an advertiser; a count for the whole installation may lack one."""
    return any(field.name == "advertiser" and not field.null for field in model._meta.fields)


def _missing_keys(model: type[TenantModel]) -> Iterator[CheckMessage]:
    for field in model._meta.local_fields:
        target = field.related_model if isinstance(field, ForeignKey) else None
        if not isinstance(target, type) or not issubclass(target, TenantModel):
            continue
        if (model._meta.label, field.name) in WITHOUT_KEY:
            continue
        if key_name(model._meta.db_table, str(field.column)) not in _sql_of_migrations(model._meta.app_label):
            yield _error(2, f"{model._meta.label}.{field.name} lacks its composite_key in the migrations.", model)


def _sql_of_migrations(label: str) -> str:
    package = import_module(f"{apps.get_app_config(label).name}.migrations")
    statements: list[str] = []
    for module in iter_modules(package.__path__):
        migration = getattr(import_module(f"{package.__name__}.{module.name}"), "Migration", None)
        for operation in _flat(migration.operations if migration else []):
            statements.extend(str(part) for part in _parts(operation))
    return "\n".join(statements)


def _parts(operation: RunSQL) -> list[Any]:
    return list(operation.sql) if isinstance(operation.sql, list | tuple) else [operation.sql]


def _flat(operations: Sequence[Operation]) -> Iterator[RunSQL]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        elif isinstance(operation, RunSQL):
            yield operation


def _error(number: int, text: str, where: type) -> Error:
    hint = "See audience/admin/base.py and audience/tenancy.py."
    return Error(text, hint=hint, obj=where, id=f"audience.E00{number}")
