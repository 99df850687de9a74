"""Somebody who tells a door over the HTTP API what happened, and a look at what came of it."""

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from django.db.models import Sum

from audience.models import Advertiser, WriteKey
from audience.proofs import make_secret
from audience.tenancy import acting_for
from audience.writekeys import issue_write_key
from pixels.models import MessageDelta
from tests.factories import make_advertiser
from tests.pixels.doors import DoorUnderTest, Reply

ORIGIN = "https://shop.example"


class Teller:
    """An advertiser with a public and a server key, whose page may read its visitors' own segments."""

    def __init__(self, door: DoorUnderTest, origins: Sequence[str] = (ORIGIN,), **fields: Any) -> None:
        self.door = door
        self.advertiser: Advertiser = make_advertiser(page_origins=list(origins), **fields)
        self.public_row, self.public = issue_write_key(self.advertiser, name="Shop pages", kind=WriteKey.Kind.PUBLIC)
        self.server_row, self.server = issue_write_key(self.advertiser, name="CRM", kind=WriteKey.Kind.SERVER)
        self.secret = make_secret(self.advertiser)
        door.catch_up()

    def tell(
        self, call: str, key: str | None = None, query: str = "", headers: dict[str, str] | None = None, **said: Any
    ) -> Reply:
        """Send one call by Basic auth, with the public key unless told otherwise."""
        sent = {"authorization": basic(key or self.public), "content_type": "application/json", **(headers or {})}
        target = f"/v1/{call}" + (f"?{query}" if query else "")
        return self.door.post(target, json.dumps(said).encode(), **sent)

    def counts(self) -> dict[str, int]:
        """Return how many messages ended how: "applied", or "rejected no_id"."""
        with acting_for(self.advertiser.pk):
            rows = MessageDelta.objects.values_list("outcome", "error").annotate(Sum("messages"))
            return {f"{outcome} {error}".strip(): count for outcome, error, count in rows}


def basic(key: str) -> str:
    return "Basic " + b64encode(f"{key}:".encode()).decode()


def body_of(reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply.body)
    return found
