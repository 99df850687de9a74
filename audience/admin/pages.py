"""Pages about one row beside its form: an overview, a live view and what else a room has to tell of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from audience.admin.base import TenantAdmin
from audience.models import Role
from audience.teams import NOT_FOUND, seat_at


@dataclass(frozen=True)
class ObjectPage:
    """One page about one row. `view` takes the admin class, the request and the row."""

    name: str
    title: str
    view: "Callable[[PagedAdmin, HttpRequest, Any], HttpResponse]"
    role: Role = Role.VIEWER
    # A page without a tab answers scripts and forms of the others.
    is_tab: bool = True
    # The rows that have it; of others it is not found.
    has_it: Callable[[Any], bool] = lambda row: True


@dataclass(frozen=True)
class Tab:
    title: str
    link: str
    is_active: bool = False


class CompletedList(ChangeList):
    """A list whose rows of the present page get what one query for all of them finds."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        cast("PagedAdmin", self.model_admin).complete(rows, request)
        self.result_list = rows


class PagedAdmin(TenantAdmin):
    """A tenant's page with further pages per row; tabs lead from one to the other, and lists to the first."""

    pages: tuple[ObjectPage, ...] = ()
    form_tab = "Settings"
    change_form_outer_before_template = "admin/object_tabs.html"
    change_list_template = "admin/tenant_list.html"

    def complete(self, rows: list[Any], request: HttpRequest) -> None:
        """Put on the rows of one page of the list what its columns show and the table does not hold."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CompletedList

    def all_pages(self) -> list[ObjectPage]:
        return list(self.pages)

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<path:object_id>/{page.name}/",
                self.admin_site.admin_view(self._view(page)),
                name=self._url_name(page.name),
            )
            for page in self.all_pages()
        ]
        return [*pages, *super().get_urls()]

    def url_of(self, row: Model, page: str) -> str:
        return reverse(f"admin:{self._url_name(page)}", args=[quote(row.pk)])

    def may_open(self, request: HttpRequest, page: ObjectPage) -> bool:
        seat = seat_at(request)
        return seat is not None and seat.is_at_least(page.role)

    def tabs(self, request: HttpRequest, row: Model, active: str) -> list[Tab]:
        shown = [
            page for page in self.all_pages() if page.is_tab and page.has_it(row) and self.may_open(request, page)
        ]
        tabs = [Tab(page.title, self.url_of(row, page.name), page.name == active) for page in shown]
        if self.form_tab:
            tabs.append(Tab(self.form_tab, self.url_of(row, "change"), active == "change"))
        return tabs

    def render_page(
        self, request: HttpRequest, row: Model, template: str, page: str, **context: Any
    ) -> TemplateResponse:
        """Answer with a page about a row, inside the admin's frame and below the tabs."""
        request.current_app = self.admin_site.name
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": str(row),
            "media": self.media,
            "object_tabs": self.tabs(request, row, page),
            "page_admin": self,
        }
        return TemplateResponse(request, template, {**frame, **context})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        tabs = self.tabs(request, row, "change") if row else []
        context = {"object_tabs": tabs, **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def _view(self, page: ObjectPage) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            row = self.get_object(request, unquote(object_id))
            if not self.has_view_permission(request, row) or not self.may_open(request, page):
                raise PermissionDenied
            if row is None or not page.has_it(row):
                raise Http404(NOT_FOUND)
            return page.view(self, request, row)

        return view

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page.replace('/', '_')}"


@dataclass(frozen=True)
class Use:
    """One thing that depends on a row: another row, or a number of them."""

    kind: str
    name: str
    detail: str = ""
    link: str = ""
    # Who may see that it exists.
    role: Role = Role.VIEWER

    def shown_to(self, request: HttpRequest) -> "Use | None":
        seat = seat_at(request)
        if seat is None:
            return None
        return self if seat.is_at_least(self.role) else None


class RemovableAdmin(PagedAdmin):
    """Rows that are marked as deleted and kept for a while, so that what still points to them is understood."""

    delete_confirmation_template = "admin/delete_row.html"
    delete_word = "Delete"
    # What deleting means, in one sentence for the person who is asked.
    deleting_means = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(deleted_at=None)

    def what_depends(self, request: HttpRequest, row: Any) -> Iterable[Use]:
        """Return what deleting the row would touch."""
        return ()

    def why_not(self, request: HttpRequest, row: Any) -> str:
        """Return why the row cannot be deleted, or nothing."""
        return ""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        refusals = [text for text in (self.why_not(request, row) for row in objs) if text]
        return [], {}, set(), refusals

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None and self.has_delete_permission(request, row):
            uses = [use.shown_to(request) for use in self.what_depends(request, row)]
            context = {
                "uses": [use for use in uses if use],
                "hidden_uses": sum(use is None for use in uses),
                "deleting_means": self.deleting_means,
                "delete_word": self.delete_word,
                "original": row,
                "object_tabs": self.tabs(request, row, "delete"),
            }
        response: HttpResponse = super().delete_view(request, object_id, {**context, **(extra_context or {})})
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.deleted_at = timezone.now()
        obj.save(update_fields=["deleted_at"])
