"""The people that an advertiser knows, what they did and what they consented to."""

from django.db import models

from audience.ids import uuid7
from audience.partitions import Partitioning
from audience.tenancy import TenantModel, advertiser_key


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
