"""What the first page of the admin tells: how the pixels, segments and exports of an advertiser are doing."""

from typing import Any

from django.http import HttpRequest


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the dashboard's context for this request."""
    return context
