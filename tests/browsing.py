"""Somebody at a browser without a screen, at the admin of a running Muster: cookies, and forms with their tokens."""

import json
import re
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

from tests.admins import form_of


class Person:
    """One person; `headers` go with every request."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.opener.addheaders = [*headers.items()]

    def sign_in(self, username: str, password: str) -> None:
        status, page = self.post("/admin/login/", "username", username=username, password=password)
        assert (status, "/admin/logout/" in page) == (200, True), page[:2000]

    def get(self, path: str) -> tuple[int, str]:
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, having: str = "", at: str = "", **typed: str) -> tuple[int, str]:
        """Fill in the form of a page that has the field `having`, and send it to `at`, or back to its own address."""
        _, page = self.get(path)
        fields = {**(form_of(page, having) if having else {}), **typed}
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        content = urlencode({**fields, "csrfmiddlewaretoken": token[1] if token else "none"}, doseq=True)
        request = urllib.request.Request(self.url + (at or path), content.encode())
        request.add_header("Origin", self.url)
        return self._open(request)

    def send(self, path: str, body: object) -> tuple[int, str]:
        """Post JSON, as a program does."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        return self._open(request)

    def _open(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self.opener.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
