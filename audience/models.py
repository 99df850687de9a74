"""Advertisers, their teams, and the people they know."""

import secrets
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from audience.ids import uuid7
from audience.tenancy import TenantModel

_HOST_PATTERN = RegexValidator(
    r"^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "Write a host name such as shop.example, or *.shop.example for all hosts below it.",
)


def _id_key() -> bytes:
    return secrets.token_bytes(32)


def _check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"“{name}” is no time zone. Write one such as Europe/Berlin.")


class HostListField(ArrayField):  # type: ignore[type-arg]  # generic only in the stubs
    """A list of host names in lower case; `*.host` stands for all hosts below it."""

    def __init__(self, **kwargs: object) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        kwargs["base_field"] = models.CharField(max_length=253, validators=[_HOST_PATTERN])
        super().__init__(**kwargs)  # type: ignore[arg-type]

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, object]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("base_field", None)
        return name, path, list(args), kwargs


class Advertiser(models.Model):
    """The tenant. Its id is the `member` number of tags."""

    name = models.CharField(max_length=255, unique=True)
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[_check_time_zone],
        help_text="Days in reports and nightly hours follow this clock, for example Europe/Berlin.",
    )
    domains = HostListField(help_text="Where your pixels may stand, one host a line: shop.example, *.shop.example.")
    first_party_hosts = HostListField(
        help_text="Pixel hosts of your own, such as px.shop.example. Only your pixels work there."
    )
    is_cookie_check_on = models.BooleanField(
        "cookie check",
        default=False,
        help_text="Count a browser only when it keeps our cookie. Costs one redirect on its first fire.",
    )
    # Browser ids are stored under this key, so that two advertisers' tables cannot be joined. Never rotated.
    id_key = models.BinaryField(default=_id_key, editable=False)
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


class ApiToken(TenantModel):
    """An integration's key to the API. The token is shown once; only its SHA-256 is stored."""

    name = models.CharField(max_length=100, help_text="Who uses it, for example “CRM sync”.")
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    may_see_people = models.BooleanField(default=False, help_text="May read profiles and download files.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        verbose_name = "API token"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class ApiCalls(models.Model):
    """How many calls a token has made in its latest minute: one row a token, see `audience.api.limits`."""

    token = models.OneToOneField(ApiToken, on_delete=models.CASCADE, primary_key=True, related_name="+")
    minute = models.DateTimeField()
    calls = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.calls} at {self.minute:%H:%M}"


class Profile(TenantModel):
    """One person or browser as one advertiser knows it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    first_seen_at = models.DateTimeField()
    # To the hour: a new row version for each fire would double what a fire writes.
    last_seen_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "id"], name="profile_of_advertiser")]

    def __str__(self) -> str:
        return str(self.id)


class Identifier(TenantModel):
    """(advertiser, kind, value) leads to a profile.

    The key is a hash of the three (`audience.identity.identifier_id`), so that a distributed table answers in one
    routed read. That rules out a database key to the profile: every statement joins on the advertiser as well.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(max_length=40)
    value = models.CharField(max_length=320)
    profile = models.ForeignKey(Profile, on_delete=models.DO_NOTHING, db_constraint=False, related_name="identifiers")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class Weather(models.Model):
    """The weather of a cell of a tenth of a degree, as it was last observed; see `audience.context.weather`.

    It belongs to no advertiser, and tells of nobody: a cell is about 11 km high, and a city's people are in one.
    """

    pk = models.CompositePrimaryKey("lat_tenths", "lon_tenths")
    lat_tenths = models.SmallIntegerField()
    lon_tenths = models.SmallIntegerField()
    # To the hour: when somebody was last in the cell.
    wanted_at = models.DateTimeField()
    # One of `audience.context.weather.CONDITIONS`; empty where it is unknown.
    condition = models.CharField(max_length=5, blank=True)
    temperature = models.FloatField(null=True)  # °C
    observed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "weather"

    def __str__(self) -> str:
        return f"{self.condition} at {self.lat_tenths / 10}, {self.lon_tenths / 10}"
