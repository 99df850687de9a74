"""Where files go, whose key a server must show, and the sealed secrets to log in."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from audience.tenancy import TenantModel
from exports.models.keys import same_advertiser

MINIMUM_SIZE_FOR_PARTNERS = 100


class Destination(TenantModel):
    """Where files go: a folder of this installation, or an SFTP server."""

    class Kind(models.TextChoices):
        FOLDER = "folder", "Folder on our server"
        SFTP = "sftp", "SFTP server"

    class Receiver(models.TextChoices):
        OWN = "own", "Our own system"
        PARTNER = "partner", "A partner"

    class State(models.TextChoices):
        DRAFT = "draft", "Draft: not tested yet"
        READY = "ready", "Ready"
        PAUSED = "paused", "Paused"

    class Login(models.TextChoices):
        PASSWORD = "password", "Password"
        KEY = "key", "Private key"

    name = models.CharField(max_length=255, help_text="What you will look for later, for example “CRM inbox”.")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.SFTP)
    receiver = models.CharField(
        max_length=10,
        choices=Receiver.choices,
        default=Receiver.PARTNER,
        help_text="A partner gets no file of fewer than 100 people unless the export says otherwise.",
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT, editable=False)
    # A code of `exports.reasons`, or “person” where somebody pressed Pause.
    paused_reason = models.CharField(max_length=24, blank=True, editable=False)
    paused_at = models.DateTimeField(null=True, editable=False)
    root = models.CharField("folder", max_length=50, blank=True, help_text="One of the folders your operator named.")
    host = models.CharField(max_length=253, blank=True, help_text="For example sftp.example.com, without sftp://.")
    port = models.PositiveIntegerField(default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    username = models.CharField("user", max_length=255, blank=True)
    login = models.CharField("log in with", max_length=10, choices=Login.choices, default=Login.PASSWORD)
    path = models.CharField(
        "sub-folder",
        max_length=500,
        blank=True,
        help_text="Where the files go, for example “inbound/segments”. Empty: where the log-in leads.",
    )
    # The public half of a key pair made here, for the receiver to install.
    public_key = models.TextField(blank=True, editable=False)
    max_connections = models.PositiveSmallIntegerField(
        "connections at once", default=2, validators=[MinValueValidator(1), MaxValueValidator(4)]
    )
    is_read_back = models.BooleanField(
        "read files back",
        default=False,
        help_text="Read every file back and compare it before it is published. Takes as long again.",
    )
    # The steps of the last test of these settings: [{"step", "outcome", "milliseconds", "sentence"}].
    test_steps = models.JSONField(default=list, editable=False)
    tested_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        permissions = [
            ("confirm_host_key", "Can confirm the host key of a server"),
            ("trust_destination", "Can call a receiver our own"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["advertiser", "id"], name="destination_of_advertiser"),
            models.UniqueConstraint(
                fields=["advertiser", "name"],
                name="destination_name_once",
                violation_error_message="You have a destination with this name already.",
            ),
            models.CheckConstraint(condition=models.Q(max_connections__range=(1, 4)), name="destination_connections"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def minimum_size(self) -> int:
        return 1 if self.receiver == self.Receiver.OWN else MINIMUM_SIZE_FOR_PARTNERS

    @property
    def address(self) -> str:
        """Where it is, in one line for people."""
        if self.kind == self.Kind.FOLDER:
            return f"{self.root}/{self.path}".rstrip("/")
        return f"{self.username}@{self.host}:{self.port}/{self.path.lstrip('/')}"


class HostKey(TenantModel):
    """A server's public key that a person has confirmed. Without one there is no connection."""

    class How(models.TextChoices):
        PASTED = "pasted", "The fingerprint from the receiver was pasted and was equal"
        COMPARED = "compared", "Compared with the receiver by a person"

    destination = same_advertiser(Destination, related_name="host_keys")
    public_key = models.TextField()
    key_type = models.CharField(max_length=50)
    bits = models.PositiveIntegerField()
    fingerprint = models.CharField(max_length=60)
    how = models.CharField(max_length=10, choices=How.choices)
    confirmed_by = models.CharField(max_length=150)
    confirmed_at = models.DateTimeField(default=timezone.now)
    # A key that is no longer trusted stays as a record of who trusted it.
    removed_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ["confirmed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["advertiser", "destination", "fingerprint"],
                condition=models.Q(removed_at=None),
                name="host_key_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.key_type} {self.fingerprint}"


class DestinationSecret(TenantModel):
    """One secret of a destination, sealed by `exports.vault`. In a table of its own: no page ever loads it."""

    class Kind(models.TextChoices):
        PASSWORD = "password", "Password"
        PRIVATE_KEY = "private_key", "Private key"
        PASSPHRASE = "passphrase", "Passphrase"

    destination = same_advertiser(Destination, related_name="secrets")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    sealed = models.TextField()
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "destination", "kind"], name="secret_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} set on {self.set_at:%-d %B %Y} by {self.set_by}"


class ConnectionTest(TenantModel):
    """A test of settings that may not be saved yet. `settings_digest` is keyed: it gives no secret away."""

    settings_digest = models.CharField(max_length=64)
    is_passed = models.BooleanField()
    steps = models.JSONField(default=list)
    tested_by = models.CharField(max_length=150, blank=True)
    tested_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["advertiser", "settings_digest"], name="connection_test_settings")]

    def __str__(self) -> str:
        return f"Test of {self.tested_at:%-d %B %Y %H:%M}"
