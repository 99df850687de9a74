"""The demo shop as visitors get it: the files of `site/`, and `/config.js` with all that its pages know of Muster.

The pages hold neither inline code nor inline style, and a policy lets browsers load from the shop and from the pixel
host alone.
"""

import json
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIEnvironment

from django.conf import settings
from django.db import Error, connection, transaction
from whitenoise import WhiteNoise

from audience.models import Advertiser, WriteKey
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from config.demo import shop, tags
from config.demo.rules import BANNER
from config.ports import parse_bind
from pixels.models import Pixel
from pixels.sdk import SNIPPET

FOLDER = Path(__file__).with_name("site")
KEY_NAME = "Shop"
CONFIG_SECONDS = 1.0  # how old a `/config.js` may be
# What the pages call a pixel, and its name.
PIXELS = {
    "visit": tags.EVERY_PAGE,
    "cart": tags.CART,
    "order": tags.ORDER,
    "largeOrder": tags.ORDER_OVER_50,
}


def origin() -> str:
    """Return the shop's origin: the pixel host's name, since over plain http its cookie needs the same site."""
    _, port = parse_bind(settings.MUSTER_SHOP_BIND)
    return f"http://{urlsplit(settings.MUSTER_PIXEL_URL).hostname}:{port}"


def open_shop(advertiser: Advertiser) -> None:
    """Let the shop's pages fire this advertiser's pixels, send events and read what is readable there."""
    if not settings.MUSTER_SHOP_BIND:
        return
    with transaction.atomic():
        advertiser.page_origins = [*advertiser.page_origins, origin()]
        advertiser.domains = [*advertiser.domains, urlsplit(origin()).hostname]
        advertiser.save(update_fields=["page_origins", "domains"])
        issue_write_key(advertiser, name=KEY_NAME, kind=WriteKey.Kind.PUBLIC)


def find_config() -> dict[str, object] | None:
    """Return what the pages have to know, of the demo shop that was made last; None where there is none."""
    for advertiser in Advertiser.objects.filter(name__startswith=shop.NAME).order_by("-created_at"):
        with acting_for(advertiser.pk):
            key = WriteKey.objects.filter(name=KEY_NAME, kind=WriteKey.Kind.PUBLIC, revoked_at=None).first()
            if key:
                keys = dict(Pixel.objects.filter(name__in=PIXELS.values()).values_list("name", "public_key"))
                pixels = {called: keys[name] for called, name in PIXELS.items() if name in keys}
                return {
                    "host": settings.MUSTER_PIXEL_URL,
                    "key": key.public_key,
                    "pixels": pixels,
                    "banner": BANNER,
                }
    return None


class Storefront:
    """The WSGI application: `/config.js`, and the files of `site/`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._config = b""
        self._read_at = -CONFIG_SECONDS
        self._files = WhiteNoise(
            self._answer, root=FOLDER, index_file=True, max_age=0, allow_all_origins=False, add_headers_function=_add
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._files(environ, start_response)  # type: ignore[no-any-return]

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/config.js":
            return _say(start_response, HTTPStatus.NOT_FOUND, b"There is no such page.\n", "text/plain")
        config = self._read_config()
        status = HTTPStatus.OK if config else HTTPStatus.SERVICE_UNAVAILABLE
        return _say(start_response, status, config, "text/javascript")

    def _read_config(self) -> bytes:
        """Return the script, empty while there is no demo shop or no database."""
        if self._clock() - self._read_at >= CONFIG_SECONDS:
            try:
                found = find_config()
            except Error:
                connection.close()  # it would stay broken
                found = None
            self._config = f"{SNIPPET}window.shop = {json.dumps(found)};\n".encode() if found else b""
            self._read_at = self._clock()
        return self._config


def _say(start_response: StartResponse, status: HTTPStatus, body: bytes, kind: str) -> Iterable[bytes]:
    headers = Headers([("Content-Type", f"{kind}; charset=utf-8"), ("Cache-Control", "no-store")])
    _add(headers, "", "")
    start_response(f"{status.value} {status.phrase}", headers.items())
    return [body]


def _add(headers: Headers, path: str, url: str) -> None:
    """Add the headers that every answer of the shop carries."""
    headers["Content-Security-Policy"] = policy()
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer-when-downgrade"  # pixels see which page they stand on


def policy() -> str:
    """Return what the pages may load, in the words of docs/muster-js.md."""
    pixels = settings.MUSTER_PIXEL_URL
    return (
        f"default-src 'none'; script-src 'self' {pixels}; connect-src {pixels}; img-src 'self' {pixels}; "
        "style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
