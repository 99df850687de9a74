"""The base of every resource of the API.

Promise: a request acts for the advertiser of its token and for nobody else, from the check of the token to the end of
the view. Rows come from the tenant's manager, so another advertiser's id is answered exactly like one that never was.
Query parameters, filters and orderings are closed lists: what is not in them is refused, never ignored.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import NotAuthenticated, NotFound, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from audience.api.access import Needs, TokenAllows
from audience.api.authentication import BearerToken, seat_of_token
from audience.api.errors import LengthRequired
from audience.api.limits import count_call
from audience.api.openapi import Operations
from audience.api.pages import KeyPages
from audience.models import ApiToken
from audience.teams import Seat
from audience.tenancy import TenantModel, acting_for


class AlwaysJson(BaseContentNegotiation):
    """JSON, whatever the caller says it accepts: an error must be readable by a client that asked for a CSV file."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        content_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class ApiViewSet(GenericViewSet[Any]):
    """A resource: its rows, what each operation needs, and the query parameters it takes."""

    model: ClassVar[type[TenantModel]]
    # Operation -> what it needs. An operation that is not named here is open to nobody.
    needs: ClassVar[dict[str, Needs]]
    # The operations that answer with pages; they alone take filters.
    list_actions: ClassVar[frozenset[str]] = frozenset({"list"})

    authentication_classes = [BearerToken]
    permission_classes = [TokenAllows]
    content_negotiation_class = AlwaysJson
    metadata_class = None
    schema = Operations()
    pagination_class = KeyPages
    http_method_names = ["get", "post", "patch", "delete", "head"]
    lookup_value_converter = "int"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._acting:
            self._acting.enter_context(acting_for(None))
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Refuse a request without a token; from here on act for the token's advertiser."""
        token = request.auth
        if not isinstance(token, ApiToken):
            raise NotAuthenticated
        self._acting.enter_context(acting_for(token.advertiser_id))
        count_call(token)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request, self._query_parameters())
        if "HTTP_TRANSFER_ENCODING" in request.META:
            raise LengthRequired

    @property
    def seat(self) -> Seat:
        return seat_of_token(cast(ApiToken, self.request.auth))

    def needs_of_action(self) -> Needs | None:
        """Return what the requested operation needs; None where the address does not take the method."""
        if self.action is None or str(self.request.method).lower() not in self.http_method_names:
            return None
        return self.needs[self.action]

    def get_queryset(self) -> QuerySet[Any]:
        """Return the advertiser's rows, deleted ones left out."""
        return rows_of(self.model)

    def get_object(self) -> Any:
        """Return the row of the path. It is looked up among all: filters are for lists."""
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])

    def _query_parameters(self) -> frozenset[str]:
        if self.action not in self.list_actions:
            return frozenset()
        filters = getattr(self, "filterset_class", None)
        pages = self.paginator
        known = frozenset(filters.base_filters) if filters else frozenset[str]()
        return known | pages.parameters if isinstance(pages, KeyPages) else known


class UnknownAddress(APIView):
    """Every address below the API's that leads nowhere: 404 as JSON, never a page."""

    authentication_classes = []
    permission_classes = [AllowAny]
    content_negotiation_class = AlwaysJson
    metadata_class = None
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound


def rows_of(model: type[TenantModel]) -> QuerySet[Any]:
    """Return the rows of the advertiser in context; rows that are deleted but kept are left out."""
    rows: QuerySet[Any] = model.objects.all()
    is_kept = any(field.name == "deleted_at" for field in model._meta.get_fields())
    return rows.filter(deleted_at=None) if is_kept else rows


def refuse_unknown_parameters(request: Request, known: frozenset[str]) -> None:
    """Raise a 400 for a query parameter that the operation does not have, or that came twice."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        offer = f"Known are {', '.join(sorted(known))}." if known else "This operation takes none."
        raise ValidationError(dict.fromkeys(unknown, f"There is no such query parameter. {offer}"))
    twice = sorted(name for name, values in request.query_params.lists() if len(values) > 1)
    if twice:
        raise ValidationError(dict.fromkeys(twice, "This query parameter may come once."))
