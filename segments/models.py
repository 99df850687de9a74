"""Segments, who is in them from when to when, and how their numbers moved."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils import timezone

from audience.models import Account, HostListField, Profile
from audience.partitions import Partitioning
from audience.tenancy import TenantModel, advertiser_key
from segments.ranges import FOREVER, RangesField

MINUTES_OF_A_DAY = 24 * 60
DEFAULT_LIFETIME_MINUTES = 30 * MINUTES_OF_A_DAY
LONGEST_LIFETIME_MINUTES = 180 * MINUTES_OF_A_DAY
LARGEST_VALUE = 2_147_483_647
MOST_ID_SYNCS = 10
CODE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,50}")

NEVER_FIRES = "It would never fire: no browser's fire adds to this segment, only the API or an upload."

_lifetime_limits = [
    MinValueValidator(1, "A person stays at least one minute."),
    MaxValueValidator(LONGEST_LIFETIME_MINUTES, "A person stays at most 180 days (259,200 minutes)."),
]
_value_limits = [MinValueValidator(0), MaxValueValidator(LARGEST_VALUE)]


class Segment(TenantModel):
    """A named group of profiles, or of accounts. Its id is its number in tags, unique in the installation."""

    class Kind(models.TextChoices):
        PIXEL = "pixel", "Pixel: members are put in by pixels, the API or an upload"
        RULE = "rule", "Rule: members follow from a rule"

    class Of(models.TextChoices):
        PROFILE = "profile", "Profiles"
        ACCOUNT = "account", "Accounts"

    class WriteMode(models.TextChoices):
        OPEN = "open", "Open: any fire"
        DOMAINS = "domains", "Domains: fires from listed pages"
        SERVER_ONLY = "server_only", "Server only: the API and uploads, no browser"

    class Refire(models.TextChoices):
        RESTART = "restart", "Start the time afresh"
        KEEP = "keep", "Leave the end as it is"

    class ReAdd(models.TextChoices):
        REPLACE = "replace", "Replaced by the new one"
        HIGHEST = "highest", "Kept at the highest"
        SUM = "sum", "Added up"

    class Removing(models.TextChoices):
        AS_ADDING = "as_adding", "The same as adding"
        SERVER_ONLY = "server_only", "The API or an upload"

    name = models.CharField(max_length=255, help_text="What you will look for later, for example “Cart”.")
    code = models.CharField(
        max_length=50,
        validators=[RegexValidator(r"^[A-Za-z0-9_-]{1,50}$", "Use letters, digits, - and _, at most 50.")],
        help_text="A short name for use in tags, for example “cart”. Capitals do not matter.",
    )
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PIXEL, editable=False)
    # What its members are. Its first rule decides; pixels put in profiles alone.
    of = models.CharField(max_length=7, choices=Of.choices, default=Of.PROFILE, editable=False)
    description = models.TextField(max_length=2000, blank=True)
    lifetime_minutes = models.PositiveIntegerField(
        "keep members for", default=DEFAULT_LIFETIME_MINUTES, validators=_lifetime_limits
    )
    longest_lifetime_minutes = models.PositiveIntegerField(
        "tags may ask for up to",
        null=True,
        blank=True,
        validators=_lifetime_limits,
        help_text="A tag that asks for more gets this. Empty: as long as members are kept.",
    )
    refire = models.CharField("when fired again", max_length=10, choices=Refire.choices, default=Refire.RESTART)
    value_from = models.PositiveIntegerField("smallest value", null=True, blank=True, validators=_value_limits)
    value_to = models.PositiveIntegerField("largest value", null=True, blank=True, validators=_value_limits)
    re_add = models.CharField("on re-add the value is", max_length=10, choices=ReAdd.choices, default=ReAdd.REPLACE)
    write_mode = models.CharField(
        "who may write",
        max_length=12,
        choices=WriteMode.choices,
        default=WriteMode.DOMAINS,
        help_text="Domains stop accidents and copied tags, not a forger.",
    )
    domains = HostListField(
        help_text="One host a line, for example shop.example or *.shop.example. Beside the advertiser's own list."
    )
    are_domains_enforced = models.BooleanField(
        "refuse fires from other pages",
        default=False,
        help_text="Off: such fires count and are marked “would be refused”. On: they are refused.",
    )
    removing = models.CharField("removing needs", max_length=12, choices=Removing.choices, default=Removing.AS_ADDING)
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: fires change nothing; members stay until their end."
    )
    is_readable_on_page = models.BooleanField(
        "readable on the page",
        default=False,
        help_text="Pages of your page origins may see whether their own visitor is in, by the code.",
    )
    id_syncs_per_fire = models.PositiveSmallIntegerField(
        "id-sync pixels per fire",
        default=0,
        validators=[MaxValueValidator(MOST_ID_SYNCS, "A fire takes at most 10 id-sync pixels.")],
        help_text="How many partners a fire may tell the browser's id, 0 to 10. Works with JavaScript tags only.",
    )
    # The version whose membership rows count. A rule's edit builds the next one beside it, then switches.
    active_version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Kept for 90 days, so that fires of tags that still stand somewhere are found.
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="segment_of_advertiser"),
            models.UniqueConstraint(
                "advertiser",
                Lower("code"),
                name="segment_code_once",
                condition=models.Q(deleted_at=None),
                violation_error_message="You have a segment with this code already. Capitals do not matter.",
            ),
            models.CheckConstraint(
                condition=models.Q(lifetime_minutes__range=(1, 395 * MINUTES_OF_A_DAY)),
                name="segment_lifetime",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Save all but `active_version`, unless that is named: whoever edits may have read it before a switch."""
        if update_fields is None and not self._state.adding:
            kept = ("id", "active_version")
            update_fields = [field.name for field in self._meta.concrete_fields if field.name not in kept]
        super().save(*args, update_fields=update_fields, **options)

    def clean(self) -> None:
        longest = self.longest_lifetime_minutes
        if longest is not None and self.lifetime_minutes and longest < self.lifetime_minutes:
            raise ValidationError(
                {"longest_lifetime_minutes": "Tags may not be held shorter than members are kept by default."}
            )
        if self.value_from is not None and self.value_to is not None and self.value_from > self.value_to:
            raise ValidationError({"value_to": "The largest value is below the smallest."})
        if self.id_syncs_per_fire and not self.takes_fires:
            raise ValidationError({"id_syncs_per_fire": NEVER_FIRES})

    @property
    def takes_fires(self) -> bool:
        """Whether a browser's fire can add to it."""
        return self.kind == self.Kind.PIXEL and self.write_mode != self.WriteMode.SERVER_ONLY

    @property
    def lifetime(self) -> timedelta:
        return timedelta(minutes=self.lifetime_minutes)

    @property
    def longest_lifetime(self) -> timedelta:
        """How long a tag or a caller may ask for."""
        return timedelta(minutes=self.longest_lifetime_minutes or self.lifetime_minutes)


class RuleVersion(TenantModel):
    """A rule as it was saved for a segment. `Membership` rows with its number are its members.

    One of a segment serves, and at most one is being built beside it. A change of meaning makes a new one.
    """

    class State(models.TextChoices):
        BUILDING = "building", "Being built: another version serves"
        ACTIVE = "active", "Serves"
        SUPERSEDED = "superseded", "Replaced by a later one"
        FAILED = "failed", "Could not be built"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, db_constraint=False, related_name="versions")
    number = models.PositiveIntegerField()
    rule = models.TextField()  # JSON in its saved form (rules.md 1.1)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.BUILDING)
    failure = models.CharField(max_length=1000, blank=True)
    complete_since = models.DateTimeField(null=True)  # the switch to it
    # A segment that uses an edited one is built and switched together with it: this is the edited one's version.
    lead = models.ForeignKey(
        "self", on_delete=models.CASCADE, db_constraint=False, null=True, related_name="followers"
    )
    # The advertiser's clock and currency that it is built by. Where one has changed, the next version follows it.
    zone = models.CharField(max_length=64, default="")
    currency = models.CharField(max_length=3, default="EUR", db_default="EUR")
    # How far everybody is computed: the last member that is done, and how many that are of how many.
    built_to = models.UUIDField(null=True)
    profiles_done = models.BigIntegerField(default=0)
    profiles_total = models.BigIntegerField(default=0)
    # Somebody has stopped the building. Facts keep true what is built, so it goes on where it was.
    stopped_at = models.DateTimeField(null=True)
    # From this instant on everybody is asked anew: what repeats is written out up to a horizon only.
    refresh_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="rule_version_of_advertiser"),
            models.UniqueConstraint(fields=["segment", "number"], name="rule_version_once"),
            models.UniqueConstraint(
                fields=["segment", "state"],
                name="rule_version_serves_alone",
                condition=models.Q(state__in=["active", "building"]),
            ),
        ]

    def __str__(self) -> str:
        return f"Version {self.number} of {self.segment_id}"


class _Interval(TenantModel):
    """A member is in a segment at t when `starts_at <= t < expires_at`: read it through `segments.membership`.

    A row outlives its interval as a marker, so that a fact that comes late finds what has decided after it. By a
    rule the interval may lie ahead.
    """

    advertiser = advertiser_key(is_checked=False)
    segment = models.ForeignKey(
        Segment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    version = models.PositiveIntegerField(default=1)
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    value = models.PositiveIntegerField(null=True)
    # Empty in a row that only remembers a remove.
    last_added_at = models.DateTimeField(null=True)
    # The time of the latest fact, add or remove: an older one that comes late changes nothing.
    decided_at = models.DateTimeField()
    # Never later than the next change that time brings and nobody has published; NULL when there is none.
    # A re-fire that moves the end further away leaves it, which keeps the update HOT: the sweeper, when it comes
    # by, sees that the member is still in and sets it to the new end.
    # Up to `starts_at`: the join, by time, is still to be published.
    sweep_at = models.DateTimeField(null=True)
    # By a rule: the later ranges of the timeline, which the sweeper brings up one after the other.
    upcoming = RangesField(null=True)
    # By a rule that repeats: up to where its timeline is written out. Who is in until then has no end that is known.
    known_until = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        abstract = True

    @property
    def ends_at(self) -> datetime | None:
        """When it is over, for people: None where it has no end, see `segments.membership.ENDS_AT_SQL`."""
        return self.expires_at if self.expires_at < (self.known_until or FOREVER) else None


class Membership(_Interval):
    """A profile is in a segment."""

    pk = models.CompositePrimaryKey("profile_id", "segment_id", "version")
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta(_Interval.Meta):
        indexes = [
            models.Index(fields=["segment", "version", "profile"], name="membership_of_segment"),
            models.Index(fields=["sweep_at"], condition=~models.Q(sweep_at=None), name="membership_due"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.segment_id}"


class AccountMembership(_Interval):
    """An account is in a segment, always by its rule."""

    pk = models.CompositePrimaryKey("account_id", "segment_id", "version")
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta(_Interval.Meta):
        indexes = [
            models.Index(fields=["segment", "version", "account"], name="account_members_of_segment"),
            models.Index(fields=["sweep_at"], condition=~models.Q(sweep_at=None), name="account_membership_due"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} in {self.segment_id}"


class Cause(models.TextChoices):
    """Why somebody joined or left."""

    FACT = "fact", "something they did"
    TIME = "time", "time went by"
    API = "api", "the API"
    UPLOAD = "upload", "an upload"
    ADMIN = "admin", "somebody in the admin"
    EDIT = "edit", "an edit of the segment"
    MERGE = "merge", "two profiles became one"
    CONSENT = "consent", "consent was withdrawn"
    ERASURE = "erasure", "the person was erased"
    SEGMENT = "segment", "a change in another segment"


class _Moved(TenantModel):
    """One join or leave, written in the transaction that brought it, or by the sweeper."""

    class Change(models.TextChoices):
        JOIN = "join", "joined"
        LEAVE = "leave", "left"

    partitioning = Partitioning(column="at", unit="month", ahead=3, keep_days=13 * 31)

    advertiser = advertiser_key(is_checked=False)
    segment = models.ForeignKey(
        Segment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    at = models.DateTimeField()
    change = models.CharField(max_length=5, choices=Change.choices)
    cause = models.CharField(max_length=8, choices=Cause.choices)
    # What brought it, where that is one thing: the fire, message or upload row; the segment that a rule names.
    fact_id = models.UUIDField(null=True)
    other_segment_id = models.BigIntegerField(null=True)
    # Unique, and rising within a transaction; and which transaction that was: `segments.positions`.
    number = models.BigIntegerField(
        db_default=models.Func(models.Value("segments_transition_number"), function="nextval")
    )
    position = models.BigIntegerField(db_default=models.Func(function="segments_position"))
    # What time brings is written a little after it is true, `at`.
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta(TenantModel.Meta):
        abstract = True

    @property
    def type(self) -> str:
        """What it is called outside: segment.joined, segment.left."""
        return f"segment.{self.Change(self.change).label}"


class Transition(_Moved):
    """A profile has joined a segment, or left it."""

    pk = models.CompositePrimaryKey("profile_id", "segment_id", "at", "change")
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta(_Moved.Meta):
        indexes = [models.Index(fields=["segment", "position", "number"], name="transition_in_order")]

    def __str__(self) -> str:
        return f"{self.profile_id} {self.change} {self.segment_id}"


class AccountTransition(_Moved):
    """An account has joined a segment, or left it."""

    pk = models.CompositePrimaryKey("account_id", "segment_id", "at", "change")
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    class Meta(_Moved.Meta):
        indexes = [models.Index(fields=["segment", "position", "number"], name="account_transition_in_order")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.change} {self.segment_id}"


class WaitingAccount(TenantModel):
    """Rules are to be asked about an account and its people, who could not be asked at once: `segments.waiting`."""

    id = models.BigAutoField(primary_key=True)
    advertiser = advertiser_key(is_checked=False)
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    cause = models.CharField(max_length=8, choices=Cause.choices)

    def __str__(self) -> str:
        return f"{self.account_id} waits"


class _Counts(TenantModel):
    """How a segment's numbers moved. A *day* is one of the advertiser's clock; uniques count different profiles."""

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    day = models.DateField()
    joins = models.IntegerField(default=0)
    leaves = models.IntegerField(default=0)
    loads = models.IntegerField(default=0)
    daily_uniques = models.IntegerField(default=0)
    monthly_uniques = models.IntegerField(default=0)

    class Meta(TenantModel.Meta):
        abstract = True


class SegmentDelta(_Counts):
    """What one batch changed, not yet merged: batches of several workers append and never wait for each other."""

    id = models.BigAutoField(primary_key=True)


class SegmentDay(_Counts):
    """What one day changed, merged. Size = all joins - all leaves, see `segments.counts`."""

    class Meta(_Counts.Meta):
        constraints = [models.UniqueConstraint(fields=["segment", "day"], name="segment_day_once")]


class _EventCount(TenantModel):
    """How often an event came on a day of UTC, see `segments.event_counts`."""

    advertiser = advertiser_key(is_checked=False)
    name = models.CharField(max_length=255)
    day = models.DateField()
    came = models.BigIntegerField()

    class Meta(TenantModel.Meta):
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} on {self.day}"


class EventDelta(_EventCount):
    """What one batch has recorded, not yet merged."""

    id = models.BigAutoField(primary_key=True)


class EventDay(_EventCount):
    """What one day has brought, merged."""

    class Meta(_EventCount.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "name", "day"], name="event_day_once")]
