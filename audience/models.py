"""Advertisers, their teams, the people and companies they know, and what those did."""

import secrets
from zoneinfo import available_timezones

import phonenumbers
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from audience.ids import uuid7
from audience.partitions import Partitioning
from audience.tenancy import TenantModel, advertiser_key

_HOST_PATTERN = RegexValidator(
    r"^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "Write a host name such as shop.example, or *.shop.example for all hosts below it.",
)
_ORIGIN_PATTERN = RegexValidator(
    r"^https?://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[0-9]{1,5})?$",
    "Write an origin such as https://shop.example, without a path.",
)


def _id_key() -> bytes:
    return secrets.token_bytes(32)


def _check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"“{name}” is no time zone. Write one such as Europe/Berlin.")


def _check_country(code: str) -> None:
    if code.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(f"“{code}” is no country. Write two letters such as DE.")


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


def _check_is_name(host: str) -> None:
    if host.rpartition(".")[2].isdigit():
        raise ValidationError("Write the name of a host, not its address.")


class RedirectHostListField(HostListField):
    """A list of hosts that browsers may be sent to: names, because the same address can be written in many ways."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.base_field.validators.append(_check_is_name)


class OriginListField(ArrayField):  # type: ignore[type-arg]  # generic only in the stubs
    """A list of exact origins, as browsers send them: scheme, host in lower case, port where it is unusual."""

    def __init__(self, **kwargs: object) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        kwargs["base_field"] = models.CharField(max_length=267, validators=[_ORIGIN_PATTERN])
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
    phone_country = models.CharField(
        max_length=2,
        blank=True,
        db_default="",
        validators=[_check_country],
        help_text=(
            "Phone numbers without a country code are of this country: two letters, such as DE. Empty: such a number "
            "is no identifier. It counts for what comes from now on."
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


class WriteKey(TenantModel):
    """What the HTTP API knows a sender by: a public key stands in pages, a server key is shown once.

    Of a server key only the SHA-256 is stored, see `audience.writekeys`; a public key is no secret.
    """

    class Kind(models.TextChoices):
        PUBLIC = "public", "Public: stands in pages and apps, speaks for its own browser only"
        SERVER = "server", "Server: is kept secret, speaks for everybody"

    name = models.CharField(max_length=100, help_text="Who sends with it, for example “Shop pages”.")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PUBLIC)
    public_key = models.CharField(max_length=40, null=True, unique=True, editable=False)  # noqa: DJ001 -- unique
    prefix = models.CharField(max_length=12, null=True, unique=True, editable=False)  # noqa: DJ001 -- unique
    digest = models.CharField(max_length=64, blank=True, editable=False)
    is_origin_enforced = models.BooleanField(
        "refuse other pages", default=False, help_text="On: calls from pages outside your page origins are refused."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="public", public_key__isnull=False)
                | models.Q(kind="server", prefix__isnull=False),
                name="write_key_of_its_kind",
            )
        ]

    def __str__(self) -> str:
        return self.name


class IdentitySecret(TenantModel):
    """A secret by which a page proves a user id (`audience.proofs`). Sealed; two of an advertiser are live."""

    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d}"


class Profile(TenantModel):
    """One person or browser as one advertiser knows it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    first_seen_at = models.DateTimeField()
    # To the hour: a new row version for each fire would double what a fire writes.
    last_seen_at = models.DateTimeField()
    # How many identifiers have gone over to others: who remembers one from before that looks it up again.
    losses = models.IntegerField(default=0, db_default=0, editable=False)

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
    # Of a browser or device: when it last proved the customer whom it leads to.
    proved_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class Merge(TenantModel):
    """A profile has gone into another one: who wrote down its id finds here where it went."""

    id = models.UUIDField(primary_key=True, editable=False)
    into = models.ForeignKey(Profile, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.id} into {self.into_id}"


class Event(TenantModel):
    """A fact about a profile. It never changes; a merge moves it (`audience.merging`).

    No key of the database leads to the profile: it would be looked up for every single event at commit. Events are
    written under the lock of their profile, and the lock says whose it is (`audience.recording`).
    """

    partitioning = Partitioning(column="occurred_at", unit="month", ahead=3, keep_days=13 * 31)

    pk = models.CompositePrimaryKey("profile_id", "occurred_at", "id")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    # The fact id. Of events at one instant the order is by `received_at`, then by it.
    id = models.UUIDField()
    name = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    properties = models.JSONField(default=dict)
    # The fields of rules.md 1.5 that are known, such as {"page": {"path": "/cart"}, "device": {"type": "mobile"}}.
    context = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        # The one index of rules: a condition reads its newest n entries.
        indexes = [models.Index("profile", "name", models.F("occurred_at").desc(), name="event_of_profile")]

    def __str__(self) -> str:
        return f"{self.name} {self.occurred_at:%Y-%m-%d %H:%M:%S}"


class MessageId(models.Model):
    """A message that has come: the same again within 8 days is a duplicate.

    The id is a hash of (advertiser, messageId); `day` is that of the receipt, in UTC.
    """

    partitioning = Partitioning(column="day", unit="day", ahead=7, keep_days=9)

    pk = models.CompositePrimaryKey("id", "day")
    id = models.UUIDField()
    day = models.DateTimeField()


class _Told(TenantModel):
    """The value of an attribute: the newest that was told, see `audience.attributes`."""

    name = models.CharField(max_length=255)
    value = models.JSONField()
    # When it took this value, when that was told last, and by which message.
    since = models.DateTimeField()
    seen_at = models.DateTimeField()
    fact_id = models.UUIDField()
    # When another value was told last.
    other_at = models.DateTimeField(null=True)
    # Whence: the row of the write key, where it was one, and the kind of message.
    source_id = models.BigIntegerField(null=True)
    source_kind = models.CharField(max_length=10)

    class Meta(TenantModel.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.name


class Attribute(_Told):
    """What is known of a profile."""

    pk = models.CompositePrimaryKey("profile_id", "name")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class Touch(TenantModel):
    """Where a profile came from first or last, see `audience.touches`."""

    class Which(models.TextChoices):
        FIRST = "first", "First"
        LAST = "last", "Last"

    pk = models.CompositePrimaryKey("profile_id", "which")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    which = models.CharField(max_length=5, choices=Which.choices)
    is_known = models.BooleanField()
    at = models.DateTimeField()
    fact_id = models.UUIDField()
    # The fields of `source` in rules.md 1.5 that are known, such as {"medium": "cpc", "name": "google"}.
    source = models.JSONField()

    def __str__(self) -> str:
        return f"{self.which} {self.at:%Y-%m-%d}"


class Account(TenantModel):
    """A company that profiles belong to. Its key is a hash of the advertiser and the key that it is known by."""

    id = models.UUIDField(primary_key=True, editable=False)
    key = models.CharField(max_length=320)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "id"], name="account_of_advertiser")]

    def __str__(self) -> str:
        return self.key


class AccountAttribute(_Told):
    """What is known of an account."""

    pk = models.CompositePrimaryKey("account_id", "name")
    advertiser = advertiser_key(is_checked=False)
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class AccountMember(TenantModel):
    """A profile belongs to an account, since it was first said."""

    pk = models.CompositePrimaryKey("profile_id", "account_id")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    since = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["account", "profile"], name="people_of_account")]

    def __str__(self) -> str:
        return f"{self.profile_id} of {self.account_id}"


class Consent(TenantModel):
    """What a profile's consent to a purpose is since when: the newest that was said, see `audience.consents`."""

    class State(models.TextChoices):
        GRANTED = "granted", "Granted"
        DENIED = "denied", "Denied"

    pk = models.CompositePrimaryKey("profile_id", "purpose")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    purpose = models.CharField(max_length=255)
    state = models.CharField(max_length=7, choices=State.choices)
    since = models.DateTimeField()
    # A limited consent ends by itself; empty: it does not.
    until = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["granted", "denied"]), name="consent_is_yes_or_no")
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.state}"


class AttributeName(TenantModel):
    """A name that an attribute of an advertiser's profiles or accounts has: there are up to 1,000 of each."""

    class Of(models.TextChoices):
        PROFILE = "profile", "profiles"
        ACCOUNT = "account", "accounts"

    of = models.CharField(max_length=10, choices=Of.choices)
    name = models.CharField(max_length=255)
    first_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "of", "name"], name="attribute_name_once")]

    def __str__(self) -> str:
        return self.name


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
