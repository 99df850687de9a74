"""What an operation of the API needs, and whether the caller's token has it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from audience.models import Role
from audience.teams import Seat

if TYPE_CHECKING:
    from audience.api.views import ApiViewSet


@dataclass(frozen=True)
class Needs:
    """The least role of an operation, and whether it shows persons."""

    role: Role
    people: bool = False


class TokenAllows(BasePermission):
    """Compare the token with the view's table `needs`. One that is missing there is a mistake, and open to nobody."""

    def has_permission(self, request: Request, view: "APIView | ApiViewSet") -> bool:
        needs = view.needs_of_action()  # type: ignore[union-attr]
        if needs is None:  # a method that the address does not take; the view answers 405
            return True
        seat: Seat = view.seat  # type: ignore[union-attr]
        if not seat.is_at_least(needs.role):
            raise PermissionDenied(f"This needs a token of the role {needs.role.value}; yours is {seat.role.value}.")
        if needs.people and not seat.may_see_people:
            raise PermissionDenied("This shows people, and the token has no right to see people.")
        return True
