"""Long lists in pages: each begins after the key where the one before ended. Never an OFFSET, never a count."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audience.tenancy import current_advertiser_id

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000


class _Json:
    """JSON for cursors, with times and UUIDs as text. Django's encoder would cut times to milliseconds."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), default=str).encode()

    def loads(self, text: bytes) -> Any:
        return json.loads(text)


class KeyPages(BasePagination):
    """`?limit=` rows after `?cursor=`, in one of the closed list of orderings.

    A cursor is signed for its advertiser and ordering: the values in it are ours, and what somebody made up is
    refused. `key` is unique and breaks ties; the columns of `orderings` hold no NULL.
    """

    key: ClassVar[str] = "id"
    orderings: ClassVar[tuple[str, ...]] = ("id", "-id")

    @property
    def parameters(self) -> frozenset[str]:
        """The query parameters that these pages take."""
        return frozenset({"cursor", "limit"} | ({"ordering"} if len(self.orderings) > 1 else set()))

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        assert isinstance(queryset, QuerySet)  # noqa: S101 -- for the types; views hand over nothing else
        self.ordering = self._ordering(request)
        limit = limit_of(request)
        columns = list(dict.fromkeys([self.ordering.lstrip("-"), self.key]))
        sign = "-" if self.ordering.startswith("-") else ""
        cursor = request.query_params.get("cursor")
        if cursor is not None:
            values = self._open(cursor, queryset.model)
            queryset = queryset.filter(_after(queryset.model, columns, sign, values))
        rows = list(queryset.order_by(*(sign + column for column in columns))[: limit + 1])
        has_more = len(rows) > limit
        last = [getattr(rows[limit - 1], column) for column in columns] if has_more else None
        self.next_cursor = self.cursor_behind(last, queryset.model) if last else None
        return rows[:limit]

    def cursor_behind(self, values: list[Any], model: type[Model]) -> str:
        """Return the cursor of the page that begins after a key."""
        return signing.dumps(values, salt=self._salt(model), serializer=_Json)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next_cursor": self.next_cursor})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        next_cursor = {
            "type": ["string", "null"],
            "example": "WzEyXQ:1vNqXk:r3jV0cY0sP9m",
            "description": "Send it as `cursor` for the next page. Null on the last page.",
        }
        return {
            "type": "object",
            "required": ["results", "next_cursor"],
            "properties": {"results": schema, "next_cursor": next_cursor},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT}
        parameters = [
            _parameter("cursor", {"type": "string"}, "`next_cursor` of the page before."),
            _parameter("limit", limit, "How many rows a page has at most."),
        ]
        if "ordering" in self.parameters:
            ordering = {"type": "string", "enum": list(self.orderings), "default": self.orderings[0]}
            parameters.append(_parameter("ordering", ordering, "The order of the rows; `-` turns it round."))
        return parameters

    def _ordering(self, request: Request) -> str:
        ordering = request.query_params.get("ordering", self.orderings[0])
        if ordering not in self.orderings:
            raise ValidationError({"ordering": f"Use one of {', '.join(self.orderings)}."})
        return ordering

    def _salt(self, model: type[Model]) -> str:
        return f"{model._meta.label} of {current_advertiser_id()} by {self.ordering}"

    def _open(self, cursor: str, model: type[Model]) -> list[Any]:
        try:
            values: list[Any] = signing.loads(cursor, salt=self._salt(model), serializer=_Json)
        except signing.BadSignature:
            raise ValidationError(
                {"cursor": "Use the next_cursor of the page before, with the same ordering."}
            ) from None
        return values


def _after(model: type[Model], columns: list[str], sign: str, values: list[Any]) -> Q:
    """Return the filter for the rows behind a key: (a, b) > (x, y), or < where the order is turned round."""
    beyond = "lt" if sign else "gt"
    first, *second = [
        (column, _field(model, column).to_python(value)) for column, value in zip(columns, values, strict=True)
    ]
    further = Q((f"{first[0]}__{beyond}", first[1]))
    for column, value in second:
        # The bound on the first column is what an index begins at: it has no use for one side of an OR.
        further = Q((f"{first[0]}__{beyond}e", first[1])) & (further | Q(first, (f"{column}__{beyond}", value)))
    return further


def _field(model: type[Model], column: str) -> Any:
    field = model._meta.get_field(column)
    return getattr(field, "target_field", field)


def limit_of(request: Request) -> int:
    """Return how many rows a page is to have. Raises a 400."""
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= LARGEST_LIMIT and len(text) <= 4):
        raise ValidationError({"limit": f"Use a whole number from 1 to {LARGEST_LIMIT}."})
    return int(text)


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
