"""No page changes anything on GET, none takes a POST without its token, and all say who may frame and keep them."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audience.models import Role
from tests.admins import make_user
from tests.canary import Flock, everything_of, has_advertiser
from tests.test_canary_crawl import places

pytestmark = [pytest.mark.django_db, pytest.mark.spec("T27")]


@pytest.fixture
def ours() -> Flock:
    return Flock("Amsel")


def links(flock: Flock) -> list[str]:
    found = ["/admin/", "/admin/advertiser/", "/admin/password_change/", "/admin/autocomplete/"]
    for place in places():
        if not place.takes_row:
            found.append(place.link())
        elif has_advertiser(place.model):
            found += [place.link(row.pk) for row in flock.rows_of(place.model)]
    return found


def signed_in(flock: Flock, **options: Any) -> Client:
    client = Client(raise_request_exception=False, **options)
    client.force_login(make_user(flock.advertiser, Role.OWNER))
    return client


def test_a_post_without_its_token_is_refused(ours: Flock) -> None:
    client, before = signed_in(ours, enforce_csrf_checks=True), everything_of(ours.advertiser)
    body = {"post": "yes", "name": "x", "_save": "1", "advertiser": str(ours.advertiser.pk)}
    for link in links(ours):
        assert client.post(link, body).status_code == 403, link
    assert everything_of(ours.advertiser) == before


def test_signing_in_needs_its_token() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/admin/login/", {"username": "x", "password": "y"}).status_code == 403


def test_no_get_changes_anything(ours: Flock) -> None:
    client = signed_in(ours)
    before, users = everything_of(ours.advertiser), list(User.objects.values_list())
    for link in links(ours):
        client.get(link, {"post": "yes", "_save": "1", "action": "get_tag", "_selected_action": "1", "name": "x"})
    assert everything_of(ours.advertiser) == before
    assert list(User.objects.values_list()) == users


def test_nobody_who_is_not_signed_in_sees_a_page(ours: Flock) -> None:
    client = Client(raise_request_exception=False)
    for link in links(ours):
        answer = client.get(link)
        assert answer.status_code == 302, link
        assert answer["Location"].startswith("/admin/login/"), link
        assert ours.mark.encode() not in answer.content


def test_every_answer_has_the_policy(ours: Flock) -> None:
    client = signed_in(ours)
    for link in [
        *links(ours),
        "/admin/nowhere/",
        "/admin/segments/segment/x/change/",
        "/admin/segments/segment/?x=1",
    ]:
        answer = client.get(link)
        policy = answer["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, link
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0], link
        assert "base-uri 'none'" in policy
        assert answer["X-Frame-Options"] == "DENY", link
        assert "no-store" in answer["Cache-Control"], link
