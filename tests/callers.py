"""Somebody who calls the API with a token: what a test of it begins with."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from audience.models import Advertiser, ApiToken, Role
from audience.tenancy import acting_for
from audience.tokens import issue_token


@dataclass
class Caller:
    """A client that sends its token and reads JSON."""

    token: str
    row: ApiToken
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request to a path below /api/v1; return the answer."""
        options.setdefault("headers", {"Authorization": f"Bearer {self.token}"})
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"/api/v1{path}", **options)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(
            f"/api/v1{path}", query_params=query, headers={"Authorization": f"Bearer {self.token}"}
        )

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("post", path, body)

    def patch(self, path: str, body: Any = None) -> Any:
        return self.call("patch", path, body)

    def delete(self, path: str) -> Any:
        return self.call("delete", path)


def make_caller(advertiser: Advertiser, role: Role = Role.OWNER, *, people: bool = True, **fields: Any) -> Caller:
    """Make a token and who holds it; by default it may do everything."""
    fields.setdefault("expires_at", timezone.now() + timedelta(days=1))
    with acting_for(advertiser.pk):
        row, plain = issue_token(advertiser, name="CRM sync", role=role, may_see_people=people, **fields)
    return Caller(plain, row)
