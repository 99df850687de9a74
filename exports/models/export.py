"""What is sent where, in which form, and when."""

from datetime import time

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from audience.tenancy import TenantModel
from exports import columns, file_names, formats, timetable
from exports.models.destination import Destination
from exports.models.keys import same_advertiser
from segments.models import Segment


class Export(TenantModel):
    """What is sent where, in which form, and when."""

    class Layout(models.TextChoices):
        FILE_PER_SEGMENT = "file_per_segment", "One file per segment"
        SEGMENT_COLUMN = "segment_column", "One file, a row for each person in each segment"
        SEGMENT_LIST = "segment_list", "One row per person with a list of segments"
        SEGMENT_FLAGS = "segment_flags", "One row per person with a yes/no column per segment"

    class Mode(models.TextChoices):
        FULL = "full", "Full: everybody who is in"

    class Format(models.TextChoices):
        CSV = "csv", "CSV"

    class Compression(models.TextChoices):
        NONE = "none", "None"
        GZIP = "gzip", "gzip"

    class Empty(models.TextChoices):
        SEND = "send", "Send a file with the header only"
        SKIP = "skip", "Send nothing"
        FAIL = "fail", "Let the run fail"

    class NameTaken(models.TextChoices):
        NUMBER = "number", "Add a number: _2, _3"
        REPLACE = "replace", "Replace it, if an earlier run of this export wrote it"
        FAIL = "fail", "Leave it alone and fail"

    class CatchUp(models.TextChoices):
        ONE = "one", "Run once for the latest missed time"
        NONE = "none", "Leave missed times out"
        EACH = "each", "Run once for each missed time, up to 31"

    class Overlap(models.TextChoices):
        SKIP = "skip", "Leave the new one out"

    name = models.CharField(max_length=255, help_text="What you will look for later, for example “CRM nightly”.")
    destination = same_advertiser(Destination, on_delete=models.PROTECT, related_name="exports")
    segments = models.ManyToManyField(Segment, through="ExportSegment", related_name="exports")
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: it runs only when somebody presses Run now."
    )
    layout = models.CharField(max_length=20, choices=Layout.choices, default=Layout.FILE_PER_SEGMENT)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.FULL)
    format = models.CharField(max_length=10, choices=Format.choices, default=Format.CSV)

    delimiter = models.CharField(
        max_length=3,
        default=",",
        validators=[formats.check_delimiter],
        help_text="One character, or the word “tab”.",
    )
    quoting = models.CharField("quotes", max_length=10, choices=formats.QUOTING_CHOICES, default=formats.MINIMAL)
    line_end = models.CharField(max_length=5, choices=formats.LINE_END_CHOICES, default=formats.CRLF)
    has_header = models.BooleanField("header line", default=True)
    null_text = models.CharField("text for missing values", max_length=20, blank=True)
    booleans = models.CharField("yes and no", max_length=12, choices=formats.BOOLEAN_CHOICES, default="true/false")
    times = models.CharField(max_length=10, choices=formats.TIME_CHOICES, default=formats.ISO)
    encoding = models.CharField(max_length=20, choices=formats.ENCODING_CHOICES, default="utf-8")
    is_formula_safe = models.BooleanField(
        "safe in spreadsheets",
        default=False,
        help_text="Put ' before text that a spreadsheet would run as a formula. Never before identifiers or numbers.",
    )
    compression = models.CharField(max_length=10, choices=Compression.choices, default=Compression.GZIP)
    split_rows = models.PositiveBigIntegerField(
        "rows per file", null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: one file."
    )
    split_bytes = models.PositiveBigIntegerField(
        "bytes per file",
        null=True,
        blank=True,
        validators=[MinValueValidator(10_000)],
        help_text="Before compression. Empty: one file.",
    )
    empty = models.CharField("when nobody is in", max_length=10, choices=Empty.choices, default=Empty.SEND)
    minimum_size = models.PositiveIntegerField(
        "at least this many people",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="With fewer nothing is sent. Empty: 1 for our own systems, 100 for partners.",
    )

    file_name = models.CharField(
        max_length=255,
        default=file_names.DEFAULT_TEMPLATE,
        validators=[file_names.check_template],
        help_text="With fields such as {export}, {segment_code}, {date}, {date:YYYY-MM-DD}, {time}, {run}, {part}.",
    )
    name_taken = models.CharField(
        "when the name is taken", max_length=10, choices=NameTaken.choices, default=NameTaken.NUMBER
    )
    is_first_part_numbered = models.BooleanField("number the first part too", default=True)
    has_manifest = models.BooleanField("send a manifest", default=True)
    has_sentinel = models.BooleanField(
        "send an empty file when all is there", default=False, help_text="The last file of the set, NAME.done."
    )
    sentinel_ending = models.CharField(max_length=20, default=".done", validators=[file_names.check_ending])
    keep_days = models.PositiveSmallIntegerField(
        "keep files here for (days)", default=7, validators=[MaxValueValidator(60)]
    )

    schedule = models.CharField("when", max_length=10, choices=timetable.CHOICES, default=timetable.BY_HAND)
    once_at = models.DateTimeField("on", null=True, blank=True)
    at_time = models.TimeField("at", default=time(4, 0))
    minute = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(59)])
    weekday = models.PositiveSmallIntegerField(choices=timetable.WEEKDAY_CHOICES, default=0)
    cron = models.CharField(
        max_length=100,
        blank=True,
        validators=[timetable.check_cron],
        help_text="Five fields: minute, hour, day, month, weekday. At most every 15 minutes.",
    )
    zone = models.CharField(
        "time zone", max_length=64, default="UTC", validators=[timetable.check_zone], help_text="Europe/Berlin"
    )
    catch_up = models.CharField(
        "after a time when Muster was down", max_length=10, choices=CatchUp.choices, default=CatchUp.ONE
    )
    overlap = models.CharField(
        "when the run before still goes on", max_length=10, choices=Overlap.choices, default=Overlap.SKIP
    )
    next_due_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="export_of_advertiser"),
            models.UniqueConstraint(
                fields=["advertiser", "name"],
                name="export_name_once",
                violation_error_message="You have an export with this name already.",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_due_at"],
                condition=models.Q(is_active=True) & ~models.Q(next_due_at=None),
                name="export_due",
            )
        ]

    def __str__(self) -> str:
        return self.name


class ExportSegment(TenantModel):
    """One segment of an export, in the order of the file's columns."""

    export = same_advertiser(Export, related_name="export_segments")
    segment = same_advertiser(Segment, on_delete=models.PROTECT, related_name="export_segments")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta(TenantModel.Meta):
        verbose_name = "segment"
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["advertiser", "export", "segment"],
                name="export_segment_once",
                violation_error_message="This export names this segment already.",
            )
        ]

    def __str__(self) -> str:
        return str(self.segment)


class ExportColumn(TenantModel):
    """One column of an export's file; `exports.columns` says which sources there are."""

    export = same_advertiser(Export, related_name="columns")
    position = models.PositiveSmallIntegerField(default=0)
    source = models.CharField("what", max_length=20, choices=columns.CHOICES)
    identifier_kind = models.CharField(
        max_length=40, blank=True, help_text="browser, customer_id, email, phone, device or partner:NAME."
    )
    values = models.CharField(
        "if a person has several", max_length=10, choices=columns.VALUES_CHOICES, default=columns.NEWEST
    )
    count = models.PositiveSmallIntegerField(
        "columns for them",
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(columns.MOST_VALUES)],
    )
    is_required = models.BooleanField(
        "required", default=False, help_text="Leave out people without it; the run counts them."
    )
    constant = models.CharField(max_length=255, blank=True)
    header = models.CharField(max_length=100, blank=True, help_text="Empty: the usual name.")

    class Meta(TenantModel.Meta):
        verbose_name = "column"
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.header or self.get_source_display()
