"""Pixels, what each fire does, and the fires themselves."""

import secrets
import string

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from audience.models import RedirectHostListField
from audience.partitions import Partitioning
from audience.tenancy import TenantModel, advertiser_key
from pixels.hosts import Hosts
from pixels.redirects import why_not_target
from segments.models import LARGEST_VALUE, LONGEST_LIFETIME_MINUTES, NEVER_FIRES, Segment

LONGEST_PARTNER_URL = 2_048
OWN_IDS = "own"  # the partner of `/mapuid`: the advertiser itself
PUBLIC_KEY_LETTERS = string.ascii_letters + string.digits


def new_public_key() -> str:
    """Return 16 random letters and digits."""
    return "".join(secrets.choice(PUBLIC_KEY_LETTERS) for _ in range(16))


class Pixel(TenantModel):
    """A placed tag. What a fire of it does stands here, so a tag is changed without touching the page."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"

    class ValueSource(models.TextChoices):
        NONE = "none", "None"
        FIXED = "fixed", "Fixed: the one of each segment below"
        PAGE = "page", "From the page: value=… in the tag"

    name = models.CharField(max_length=255, help_text="What you will look for later, for example “Cart page”.")
    public_key = models.CharField(max_length=16, unique=True, default=new_public_key, editable=False)
    # After a renewal the old key works for 30 more days.
    previous_key = models.CharField(max_length=16, unique=True, null=True, editable=False)  # noqa: DJ001
    previous_key_ends_at = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    value_source = models.CharField("value", max_length=10, choices=ValueSource.choices, default=ValueSource.FIXED)
    may_tags_set_lifetime = models.BooleanField(
        "lifetime from the page",
        default=False,
        help_text="Let the tag say keep=7d, up to each segment's limit.",
    )
    event_name = models.CharField(
        "records an event",
        max_length=255,
        blank=True,
        help_text=(
            "What each fire is in the visitor's history, for example “purchase”. The tag may say order_id=…, "
            "value=59.90 and other=…; one order counts once in 90 days. Empty: no event, except by /px tags, which "
            "record a “conversion”."
        ),
    )
    # The built-in pixel that fires of /seg without a known pid are filed under: one per advertiser.
    is_direct = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="pixel_of_advertiser"),
            models.UniqueConstraint(
                fields=["advertiser"], condition=models.Q(is_direct=True), name="one_direct_pixel"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.event_name and self.value_source == self.ValueSource.PAGE:
            message = "The value in the tag belongs to the event here. Give the segments a fixed value, or none."
            raise ValidationError({"value_source": message})


class PixelAction(TenantModel):
    """One thing that a fire of a pixel does: add to a segment, or remove from it."""

    class Do(models.TextChoices):
        ADD = "add", "Add to"
        REMOVE = "remove", "Remove from"

    pixel = models.ForeignKey(Pixel, on_delete=models.CASCADE, db_constraint=False, related_name="actions")
    do = models.CharField("action", max_length=6, choices=Do.choices, default=Do.ADD)
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, db_constraint=False, related_name="pixel_actions")
    value = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(LARGEST_VALUE)]
    )
    lifetime_minutes = models.PositiveIntegerField(
        "keep members for",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_LIFETIME_MINUTES)],
        help_text="Empty: as long as the segment says.",
    )

    class Meta(TenantModel.Meta):
        verbose_name = "action"
        constraints = [
            models.UniqueConstraint(
                fields=["advertiser", "pixel", "segment"],
                name="pixel_segment_once",
                violation_error_message="This pixel names this segment already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_do_display()} {self.segment}"

    def clean(self) -> None:
        if self.do == self.Do.REMOVE and (self.value is not None or self.lifetime_minutes is not None):
            raise ValidationError("Removing takes no value and no lifetime.")


def check_partner_name(name: str) -> None:
    if name == OWN_IDS:
        raise ValidationError("“own” are your own ids; they need no partner.")


class Partner(TenantModel):
    """Somebody with whom an advertiser shares the ids of browsers (pixels.md 1.9, 3.6)."""

    name = models.CharField(
        max_length=30,
        validators=[
            RegexValidator(r"^[a-z0-9_-]{1,30}$", "Use small letters, digits, - and _, at most 30."),
            check_partner_name,
        ],
        help_text="A short name for use in addresses, for example “acme”.",
    )
    hosts = RedirectHostListField(
        help_text="Who asks for your visitors' ids from these hosts gets them, one host a line: sync.partner.example."
    )
    sync_url = models.CharField(
        "id-sync address",
        max_length=LONGEST_PARTNER_URL,
        blank=True,
        help_text="Called to tell the partner who a browser is, once in 14 days. On one of its hosts, with "
        "${MUSTER_ID}: https://sync.partner.example/match?uid=${MUSTER_ID}.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["advertiser", "name"],
                name="partner_once",
                violation_error_message="You have a partner of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not self.sync_url:
            return
        if why := why_not_target(self.sync_url, Hosts(self.hosts), "the hosts above"):
            raise ValidationError({"sync_url": why})
        if "${MUSTER_ID}" not in self.sync_url:
            raise ValidationError({"sync_url": "Write ${MUSTER_ID} where the partner expects the browser's id."})


class Piggyback(TenantModel):
    """A partner's pixel that follows each fire that adds to a segment (pixels.md 3.6)."""

    class Kind(models.TextChoices):
        IMAGE = "image", "Image"
        SCRIPT = "script", "Script"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, db_constraint=False, related_name="piggybacks")
    kind = models.CharField("type", max_length=6, choices=Kind.choices, default=Kind.IMAGE)
    url = models.CharField(
        "address",
        max_length=LONGEST_PARTNER_URL,
        help_text="On one of your redirect hosts, for example https://ad.partner.example/p?gdpr=${GDPR}.",
    )

    class Meta(TenantModel.Meta):
        verbose_name = "piggyback pixel"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.url.removeprefix('https://')[:40]}"

    def clean(self) -> None:
        if why := self.why_silent():
            raise ValidationError({"url": why})

    def why_silent(self) -> str:
        """Return why it cannot fire, or nothing."""
        if not self.segment.takes_fires:
            return NEVER_FIRES
        return why_not_target(self.url, Hosts(self.advertiser.redirect_hosts), "your redirect hosts")


class IdSync(models.Model):
    """A partner was told who a browser is: not again within 14 days (`pixels.idsyncs`).

    The id is a hash of (advertiser, browser, partner).
    """

    id = models.UUIDField(primary_key=True)
    synced_at = models.DateTimeField()


class Fire(TenantModel):
    """One request to a pixel, as the live view shows it. No address, no query string, no id of the browser.

    Its key is also the memory of facts: what stands here is not done again, wherever it comes from.
    """

    partitioning = Partitioning(column="received_at", unit="day", ahead=14, keep_days=30)

    # One index serves both: a batch writes each fire into one place, and the live view reads it backwards.
    pk = models.CompositePrimaryKey("pixel_id", "received_at", "id")
    advertiser = advertiser_key(is_checked=False)
    id = models.UUIDField()
    received_at = models.DateTimeField()
    pixel = models.ForeignKey(
        Pixel, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    # Empty for rejected and suppressed fires: they make no profile.
    profile_id = models.UUIDField(null=True)
    # Of `pixels.reasons`; no choices here, or a better sentence would be a migration.
    outcome = models.CharField(max_length=10)
    reason = models.CharField(max_length=24, blank=True)
    notes = ArrayField(models.CharField(max_length=24), default=list)
    # [{"do": "add", "segment": 12, "code": "cart", "value": 65, "reason": ""}]
    actions = models.JSONField(default=list)
    other = models.CharField(max_length=64, blank=True)
    page_host = models.CharField(max_length=253, blank=True)
    page_path = models.CharField(max_length=1024, blank=True)
    browser = models.CharField(max_length=40, blank=True)
    device = models.CharField(max_length=10, blank=True)
    country = models.CharField(max_length=2, blank=True, db_default="")
    # Four letters that mark one browser within a live view; they cannot be traced back to its id.
    same = models.CharField(max_length=4, blank=True)

    def __str__(self) -> str:
        return f"{self.outcome} {self.received_at:%H:%M:%S}"


class EventId(models.Model):
    """An `eid` that a browser has fired: the same again within 24 hours is a duplicate.

    The id is a hash of (advertiser, browser, eid).
    """

    partitioning = Partitioning(column="seen_at", unit="day", ahead=7, keep_days=2)

    pk = models.CompositePrimaryKey("id", "seen_at")
    id = models.UUIDField()
    seen_at = models.DateTimeField()


class OrderId(models.Model):
    """An order that a pixel has recorded: the same again within 90 days is no second event.

    The id is a hash of (pixel, order_id).
    """

    partitioning = Partitioning(column="seen_at", unit="month", ahead=3, keep_days=91)

    pk = models.CompositePrimaryKey("id", "seen_at")
    id = models.UUIDField()
    seen_at = models.DateTimeField()


class ArrivedMessage(TenantModel):
    """A message of the HTTP API, good or refused, as the live view shows it. Nothing in it names anybody.

    Its key is also the memory of arrivals: what stands here is not done again, wherever it comes from.
    """

    partitioning = Partitioning(column="received_at", unit="day", ahead=14, keep_days=30)

    # One index serves both: a batch writes a key's messages into one place, and the live view reads it backwards.
    pk = models.CompositePrimaryKey("source_id", "received_at", "id")
    advertiser = advertiser_key(is_checked=False)
    source_id = models.BigIntegerField()  # the row of the write key, which is never deleted
    received_at = models.DateTimeField()
    id = models.UUIDField()
    kind = models.CharField(max_length=10, blank=True)
    # Of a page or screen its name. Empty where it names a person.
    event = models.CharField(max_length=255, blank=True)
    outcome = models.CharField(max_length=10)
    error = models.CharField(max_length=24, blank=True)
    page_host = models.CharField(max_length=253, blank=True)

    def __str__(self) -> str:
        return f"{self.outcome} {self.received_at:%H:%M:%S}"


class FactId(models.Model):
    """A fire that leads to no pixel.

    It leaves its id only, so that a log or a spool read twice counts it once.
    """

    partitioning = Partitioning(column="received_at", unit="day", ahead=7, keep_days=30)

    pk = models.CompositePrimaryKey("received_at", "id")
    id = models.UUIDField()
    received_at = models.DateTimeField()


class _Outcomes(models.Model):
    """How many fires ended how. Advertiser and pixel are empty for requests that lead to none."""

    advertiser = models.ForeignKey("audience.Advertiser", null=True, on_delete=models.CASCADE, related_name="+")
    pixel = models.ForeignKey(
        Pixel, null=True, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    hour = models.DateTimeField()
    outcome = models.CharField(max_length=10)
    reason = models.CharField(max_length=24, blank=True)
    fires = models.IntegerField()

    class Meta:
        abstract = True


class FireDelta(_Outcomes):
    """What one batch counted, by page, not yet merged: batches append and never wait for each other."""

    page_host = models.CharField(max_length=253, blank=True)
    page_path = models.CharField(max_length=1024, blank=True)
    last_at = models.DateTimeField()


class FireHour(_Outcomes):
    """What one hour counted, merged."""

    class Meta(_Outcomes.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["pixel", "hour", "outcome", "reason", "advertiser"],
                nulls_distinct=False,
                name="fire_hour_once",
            )
        ]


class SeenPage(TenantModel):
    """A page on which a pixel was seen, up to 1,000 per pixel."""

    pixel = models.ForeignKey(Pixel, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    host = models.CharField(max_length=253)
    path = models.CharField(max_length=1024)
    fires = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["pixel", "host", "path"], name="seen_page_once")]

    def __str__(self) -> str:
        return f"{self.host}{self.path}"


class _MessageOutcomes(TenantModel):
    """How many messages of the HTTP API ended how; `error` is of `pixels.messages.errors`."""

    # The row of the write key. It is never deleted, and a key of the database would be looked up for every count.
    source_id = models.BigIntegerField()
    hour = models.DateTimeField()
    outcome = models.CharField(max_length=10)
    error = models.CharField(max_length=24, blank=True)
    messages = models.IntegerField()

    class Meta(TenantModel.Meta):
        abstract = True

    def __str__(self) -> str:
        return f"{self.messages} {self.outcome} at {self.hour:%H:%M}"


class MessageDelta(_MessageOutcomes):
    """What one batch counted, not yet merged: batches append and never wait for each other."""


class MessageHour(_MessageOutcomes):
    """What one hour counted, merged."""

    class Meta(_MessageOutcomes.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["source_id", "hour", "outcome", "error", "advertiser"], name="message_hour_once"
            )
        ]
