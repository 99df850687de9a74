"""What each attempt of an export did, with its files and its tries to send them."""

from django.db import models
from django.utils import timezone

from audience.tenancy import TenantModel
from exports.models.destination import Destination
from exports.models.export import Export
from exports.models.keys import same_advertiser
from exports.reasons import sentence


class Run(TenantModel):
    """One attempt of an export for one due time. `exports.runs` moves it from state to state."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting to start"
        WRITING = "writing", "Writing the files"
        WRITTEN = "written", "Written, not sent yet"
        SENDING = "sending", "Sending"
        WAITING = "waiting", "Waiting for the next try"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"
        SKIPPED = "skipped", "Skipped"
        CANCELLED = "cancelled", "Cancelled"

    class Cause(models.TextChoices):
        TIMETABLE = "timetable", "the timetable"
        PERSON = "person", "a person"
        API = "api", "the API"
        COMMAND = "command", "a command"

    OPEN = (State.QUEUED, State.WRITING, State.WRITTEN, State.SENDING, State.WAITING)

    export = same_advertiser(Export, on_delete=models.PROTECT, related_name="runs")
    destination = same_advertiser(Destination, on_delete=models.PROTECT, related_name="runs")
    # “Send again” and “Run again” make a new run for the same due time and names.
    retry_of = same_advertiser("self", null=True, on_delete=models.PROTECT, related_name="retries")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    started_by = models.CharField(max_length=150, blank=True)
    # Off: the files are written and kept here, and nothing is sent.
    is_to_be_sent = models.BooleanField(default=True)

    due_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    # A code of `exports.reasons` and the facts of its sentence; no choices, or a new reason would be a migration.
    reason = models.CharField(max_length=24, blank=True)
    facts = models.JSONField(default=dict)
    cancel_asked_at = models.DateTimeField(null=True)
    cancel_asked_by = models.CharField(max_length=150, blank=True)

    claim = models.PositiveIntegerField(default=0)
    # The claim that wrote the files which are sent; files of earlier ones tell what is ours at the receiver.
    files_claim = models.PositiveIntegerField(default=0)
    lease_ends_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=255, blank=True)
    # How often a worker went silent over it: one that kills its workers must not do so for ever.
    times_lost = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)

    started_at = models.DateTimeField(null=True)
    # T: the instant of the snapshot.
    as_of = models.DateTimeField(null=True)
    written_at = models.DateTimeField(null=True)
    # From the first rename on, the receiver may have seen a file: the run can no longer be cancelled.
    visible_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    host_key = models.CharField(max_length=60, blank=True)
    # The export and its segments as they were at T.
    recorded = models.JSONField(default=dict)
    # {"members": n, "no_identifier": n, "encoding": n, "written": n}, persons; see `exports.funnel`.
    funnel = models.JSONField(default=dict)

    rows_expected = models.BigIntegerField(null=True)
    rows_written = models.BigIntegerField(default=0)
    bytes_plain = models.BigIntegerField(default=0)
    bytes_packed = models.BigIntegerField(default=0)
    bytes_sent = models.BigIntegerField(default=0)
    rows_per_second = models.FloatField(default=0)
    bytes_per_second = models.FloatField(default=0)
    progress_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ["-due_at", "-id"]
        permissions = [
            ("download_file", "Can download files with people in them"),
            ("view_losses", "Can see which people were left out"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="run_of_advertiser"),
            models.UniqueConstraint(
                fields=["export", "due_at"],
                condition=models.Q(cause="timetable", retry_of=None),
                name="run_once_per_due_time",
            ),
            models.UniqueConstraint(
                fields=["export"],
                condition=models.Q(state__in=["queued", "writing", "written", "sending", "waiting"]),
                name="one_open_run",
            ),
        ]
        indexes = [
            models.Index(
                fields=["destination", "state"],
                condition=models.Q(state__in=["queued", "writing", "written", "sending", "waiting"]),
                name="run_open",
            ),
            models.Index(fields=["export", "-due_at"], name="run_of_export"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def error(self) -> str:
        """What a marketer reads about the reason; empty where there is none."""
        return sentence(self.reason, self.facts) if self.reason else ""


class RunFile(TenantModel):
    """One file of a run's set: a part, the manifest or the sentinel.

    Name and size are recorded before the first byte travels, so that own files are known after a crash.
    """

    class Kind(models.TextChoices):
        PART = "part", "Rows"
        MANIFEST = "manifest", "Manifest"
        SENTINEL = "sentinel", "Sentinel"

    class State(models.TextChoices):
        WRITTEN = "written", "Written here"
        UPLOADED = "uploaded", "Uploaded under its .part name"
        PUBLISHED = "published", "Under its final name"
        CONFIRMED = "confirmed", "Its size was read back"

    run = same_advertiser(Run, related_name="files")
    claim = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PART)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WRITTEN)
    # Below EXPORT_RUN_DIR; empty once it is no longer kept.
    local_path = models.CharField(max_length=255, blank=True)
    wanted_name = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True)
    part_name = models.CharField(max_length=255, blank=True)
    rows = models.BigIntegerField(default=0)
    bytes_plain = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    # With one file per segment: whose it is.
    of_segment_id = models.BigIntegerField(null=True)
    acknowledged_bytes = models.BigIntegerField(default=0)

    class Meta(TenantModel.Meta):
        ordering = ["claim", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "claim", "position"], name="run_file_once")]

    def __str__(self) -> str:
        return self.name or self.wanted_name


class RunTry(TenantModel):
    """One try to send a run's files, with the step at which it ended."""

    run = same_advertiser(Run, related_name="try_log")
    number = models.PositiveSmallIntegerField()
    claim = models.PositiveIntegerField()
    worker = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    step = models.CharField(max_length=24, blank=True)
    reason = models.CharField(max_length=24, blank=True)
    facts = models.JSONField(default=dict)
    bytes_sent = models.BigIntegerField(default=0)

    class Meta(TenantModel.Meta):
        ordering = ["started_at"]

    def __str__(self) -> str:
        return f"Try {self.number}"
