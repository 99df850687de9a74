"""An advertiser whose pixels are fired at a door, and a look at what the fires did."""

from typing import Any

from django.db.models import Sum
from django.utils import timezone

from audience.models import Identifier, Profile
from audience.tenancy import acting_for
from pixels.models import Fire, FireDelta, Pixel, PixelAction
from segments.models import Membership, Segment
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.pixels.doors import DoorUnderTest, Reply


class Shop:
    """Segments `cart`, `vip` and `left`, and a pixel that adds to `cart`."""

    def __init__(self, door: DoorUnderTest, **fields: Any) -> None:
        self.door = door
        self.advertiser = make_advertiser(**fields)
        self.cart = make_segment(self.advertiser, "cart")
        self.vip = make_segment(self.advertiser, "vip")
        self.left = make_segment(self.advertiser, "left")
        self.pixel = make_pixel(self.advertiser, self.cart)
        door.catch_up()

    @property
    def id(self) -> int:
        return self.advertiser.pk

    @property
    def direct(self) -> Pixel:
        """The built-in pixel."""
        with acting_for(self.id):
            return Pixel.objects.get(is_direct=True)

    def seg(self, query: str, **headers: str) -> Reply:
        """Fire `/seg`; {cart}, {vip}, {left} and {id} stand for numbers."""
        numbers = {"cart": self.cart.pk, "vip": self.vip.pk, "left": self.left.pk, "id": self.id}
        for name, number in numbers.items():
            query = query.replace("{" + name + "}", str(number))
        return self.door.get(f"/seg?{query}", **headers)

    def p(self, query: str = "", form: str = "gif", **headers: str) -> Reply:
        """Fire the pixel."""
        return self.door.get(f"/p/{self.pixel.public_key}.{form}" + (f"?{query}" if query else ""), **headers)

    def change(self, row: Segment | Pixel | PixelAction, **fields: Any) -> None:
        """Edit a row as the admin does, and wait until the door knows it."""
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
        self.door.catch_up()

    def fire(self) -> Fire:
        """Return the latest fire of the live view."""
        with acting_for(self.id):
            return Fire.objects.latest("received_at")

    def fires(self) -> int:
        with acting_for(self.id):
            return Fire.objects.count()

    def outcome(self) -> str:
        """Return how the latest fire ended: "applied", or "rejected bot"."""
        fire = self.fire()
        return f"{fire.outcome} {fire.reason}".strip()

    def memberships(self) -> dict[str, Membership]:
        """Return the present memberships by segment code; there may be one browser only."""
        now = timezone.now()
        with acting_for(self.id):
            present = Membership.objects.filter(starts_at__lte=now, expires_at__gt=now).select_related("segment")
            found = {member.segment.code: member for member in present}
            assert len(found) == present.count(), "more than one browser"
            return found

    def values(self) -> dict[str, int | None]:
        return {code: member.value for code, member in self.memberships().items()}

    def minutes(self, code: str) -> float:
        """Return how long the present membership lasts from its latest add."""
        member = self.memberships()[code]
        assert member.last_added_at is not None
        return (member.expires_at - member.last_added_at).total_seconds() / 60

    def profiles(self) -> int:
        with acting_for(self.id):
            return Profile.objects.count()

    def browsers(self) -> set[str]:
        with acting_for(self.id):
            return set(Identifier.objects.filter(kind="browser").values_list("value", flat=True))


def counted(**filters: Any) -> int:
    """Return how many fires were counted so."""
    return FireDelta.objects.filter(**filters).aggregate(fires=Sum("fires"))["fires"] or 0
