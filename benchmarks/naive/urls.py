"""The naive view: one transaction per request, by the ORM."""

from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from benchmarks.naive.models import Browser, Member
from benchmarks.raw import GIF


def fire(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    with transaction.atomic():
        browser, _ = Browser.objects.get_or_create(cookie=request.COOKIES.get("muid", ""))
        Member.objects.update_or_create(
            browser=browser,
            segment=int(request.GET["add"]),
            defaults={"added_at": now, "expires_at": now + timedelta(days=30)},
        )
    return HttpResponse(GIF, content_type="image/gif")


urlpatterns = [path("seg", fire)]
