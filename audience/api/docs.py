"""Where the description of the API is read: as JSON by programs, as a page by people."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from audience.api.views import AlwaysJson, refuse_unknown_parameters


class SchemaView(SpectacularAPIView):
    """The schema as JSON. It describes the product and holds nothing of an advertiser, so it asks for no token."""

    renderer_classes = [OpenApiJsonRenderer]
    content_negotiation_class = AlwaysJson
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request, frozenset())


def read(request: HttpRequest) -> HttpResponse:
    """Show the schema as a page to read and try. All scripts and styles are files of ours."""
    return render(request, "api/docs.html")
