"""Somebody at work in the admin: a signed-in browser of a user in a team."""

import itertools
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from audience.models import Advertiser, Role, TeamMembership

_numbers = itertools.count(1)


def make_user(
    advertiser: Advertiser | None = None, role: Role = Role.OWNER, *, people: bool = True, **fields: Any
) -> User:
    """Make a user; with an advertiser, a member of its team."""
    name = f"user{next(_numbers)}"
    user = User.objects.create(**{"username": name, "email": f"{name}@team.example", "is_staff": True} | fields)
    if advertiser:
        TeamMembership.objects.create(user=user, advertiser=advertiser, role=role, may_see_people=people)
    return user


def sign_in(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def at_work(advertiser: Advertiser, role: Role = Role.OWNER, *, people: bool = True) -> Client:
    """Return a browser in which somebody of the team is signed in."""
    return sign_in(make_user(advertiser, role, people=people))


class _Forms(HTMLParser):
    """Reads what a browser would send: each form's fields with their present values."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.fields: dict[str, list[str]] = {}
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        name = found.get("name")
        if tag == "form":
            self.fields = {}
            self.forms.append(self.fields)
        elif tag == "input" and name and found.get("type") not in ("submit", "button", "file"):
            is_box = found.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in found:
                self.fields.setdefault(name, []).append(found.get("value", "on" if is_box else ""))
        elif tag == "select" and name:
            self._select = name
        elif tag == "option" and self._select and "selected" in found:
            self.fields.setdefault(self._select, []).append(found.get("value", ""))
        elif tag == "textarea" and name:
            self._textarea = name
            self.fields.setdefault(name, []).append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea][-1] += data


def form_of(html: str, having: str) -> dict[str, Any]:
    """Return the fields of the form that has the field `having`, as a browser would send them."""
    reader = _Forms()
    reader.feed(html)
    found = next((form for form in reader.forms if having in form), None)
    assert found is not None, f"no form with {having}"
    return {name: values for name, values in found.items() if name != "csrfmiddlewaretoken"}
