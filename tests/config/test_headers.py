"""The headers of every answer of admin and API, whatever its status (safety.md S5, T26, T28)."""

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path

pytestmark = pytest.mark.spec("S5")


def fails(request):
    raise ValueError("canary")


def answers(request, status: int):
    return HttpResponse(status=status)


urlpatterns = [path("fails", fails), path("answers/<int:status>", answers)]
WALK = [
    *(f"/answers/{status}" for status in (200, 302, 400, 403, 404, 405, 413, 429, 500, 503)),
    "/fails",
    "/missing",
]
REAL = ["/health/live", "/admin/", "/admin/login/", "/missing", "/", "/api/v1/", "/api/v1/missing"]


def policy(answer) -> dict[str, str]:
    parts = answer["Content-Security-Policy"].split(";")
    return dict(part.strip().split(" ", 1) for part in parts)


STRICT = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def check(answer) -> None:
    assert policy(answer).items() >= STRICT.items()
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert "geolocation=()" in answer["Permissions-Policy"]
    assert answer["Cache-Control"] == "no-store, private"
    assert "Server" not in answer


@pytest.mark.parametrize("url", WALK)
@override_settings(ROOT_URLCONF=__name__)
def test_every_status_carries_them(url):
    check(Client(raise_request_exception=False).get(url))


@pytest.mark.django_db
@pytest.mark.parametrize("url", REAL)
def test_every_kind_of_page_carries_them(url):
    check(Client().get(url))


@pytest.mark.parametrize("host", ["evil.example.com"])
def test_a_refused_host_carries_them(host):
    answer = Client(headers={"host": host}).get("/health/live")
    assert answer.status_code == 400
    check(answer)


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=31_536_000, SECURE_HSTS_INCLUDE_SUBDOMAINS=True)
def test_production_insists_on_https():
    answer = Client().get("/admin/login/")
    assert answer.status_code == 301
    assert answer["Location"].startswith("https://")
    check(answer)
    assert Client().get("/health/live").status_code == 200
    secure = Client().get("/health/live", secure=True)
    assert secure["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.spec("T26")
@pytest.mark.django_db
def test_only_the_admin_may_evaluate_and_style_inline():
    admin, elsewhere = policy(Client().get("/admin/login/")), policy(Client().get("/health/live"))
    assert elsewhere == STRICT
    assert admin == {**STRICT, "script-src": "'self' 'unsafe-eval'", "style-src": "'self' 'unsafe-inline'"}


@override_settings(ROOT_URLCONF=__name__, DEBUG=False)
def test_an_error_says_nothing_of_the_inside():
    text = Client(raise_request_exception=False).get("/fails").content.decode()
    assert "canary" not in text
    assert "Traceback" not in text
    assert str(settings.BASE_DIR) not in text
