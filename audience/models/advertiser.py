"""Advertisers, and who works for them."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from audience.models.fields import (
    HostListField,
    OriginListField,
    RedirectHostListField,
    check_country,
    check_currency,
    check_time_zone,
)


def new_id_key() -> bytes:
    return secrets.token_bytes(32)


class Advertiser(models.Model):
    """The tenant. Its id is the `member` number of tags."""

    name = models.CharField(max_length=255, unique=True)
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[check_time_zone],
        help_text="Days in reports and nightly hours follow this clock, for example Europe/Berlin.",
    )
    phone_country = models.CharField(
        max_length=2,
        blank=True,
        db_default="",
        validators=[check_country],
        help_text=(
            "Phone numbers without a country code are of this country: two letters, such as DE. Empty: such a number "
            "is no identifier. It counts for what comes from now on."
        ),
    )
    currency = models.CharField(
        max_length=3,
        default="EUR",
        db_default="EUR",
        validators=[check_currency],
        help_text=(
            "Amounts in rules are in this currency: three letters, such as EUR. Those of an event in another one "
            "count where it brings an exchange_rate; else they are left out."
        ),
    )
    domains = HostListField(help_text="Where your pixels may stand, one host a line: shop.example, *.shop.example.")
    first_party_hosts = HostListField(
        help_text="Pixel hosts of your own, such as px.shop.example. Only your pixels work there."
    )
    page_origins = OriginListField(
        help_text="Whose pages may read a browser's own segments, one origin a line: https://shop.example."
    )
    redirect_hosts = RedirectHostListField(
        help_text="Where a fire may send the browser on to, one host a line: ad.partner.example, *.partner.example. "
        "Empty: nowhere."
    )
    is_cookie_check_on = models.BooleanField(
        "cookie check",
        default=False,
        help_text="Count a browser only when it keeps our cookie. Costs one redirect on its first fire.",
    )
    # Browser ids are stored under this key, so that two advertisers' tables cannot be joined. Never rotated.
    id_key = models.BinaryField(default=new_id_key, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a user may do for an advertiser; each role may do what the ones before it may."""

    VIEWER = "viewer", "Viewer: sees segments, counts, reports and runs"
    ANALYST = "analyst", "Analyst: also makes segments"
    MANAGER = "manager", "Manager: also pixels, tags, live view, destinations and exports"
    OWNER = "owner", "Owner: also the team, API tokens and host keys"


class TeamMembership(models.Model):
    """A user works for an advertiser in a role."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="team_memberships")
    advertiser = models.ForeignKey(Advertiser, on_delete=models.CASCADE, related_name="team_memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    may_see_people = models.BooleanField(
        default=False, help_text="May open profiles and download files with people in them."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "advertiser"], name="one_role_for_a_user")]

    def __str__(self) -> str:
        # By the address that the team knows, not by a name that another team may have given.
        return f"{self.user.email or self.user.get_username()} · {self.get_role_display().split(':')[0]}"
