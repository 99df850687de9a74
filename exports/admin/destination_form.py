"""The form of a destination: its address, its secrets, and the answer whether a fetched host key is the right one.

Promise: a secret that was entered is never put back into the page, not even when the form has an error; and a stored
password does not follow the destination to another server: with another host, port or user it is asked for again.
"""

from dataclasses import replace
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from audience.admin.base import TenantForm
from exports.destination_editing import check_destination, check_secrets
from exports.destinations import host_keys
from exports.destinations.connection import FolderSettings, SftpSettings
from exports.destinations.host_keys import MOST_KEYS, ShownKey
from exports.destinations.opening import Settings, settings_of
from exports.models import Destination, DestinationSecret, HostKey
from exports.reasons import Refused

Kind, Login, Receiver = Destination.Kind, Destination.Login, Destination.Receiver
Secret = DestinationSecret.Kind
SECRETS = (Secret.PASSWORD, Secret.PRIVATE_KEY, Secret.PASSPHRASE)
_SERVER = ("host", "port", "username")
_SFTP_ONLY = ("host", "port", "username", "login", "max_connections")
_WITH_PASSWORD, _WITH_KEY = "kind=sftp&login=password", "kind=sftp&login=key"


class SecretTextarea(UnfoldAdminTextareaWidget):
    """A field for a long secret, which the page never gets back."""

    def format_value(self, value: Any) -> str:
        return ""


def _hidden_unless(condition: str, **attrs: Any) -> dict[str, Any]:
    """Return the attributes by which the page's script shows a field only where it belongs."""
    return {"data-when": condition, "autocomplete": "off", "spellcheck": "false", **attrs}


class DestinationForm(TenantForm):
    """A destination as a marketer fills it in."""

    root = forms.ChoiceField(
        label="Folder",
        required=False,
        widget=UnfoldAdminSelectWidget(_hidden_unless("kind=folder")),
        help_text="One of the folders that your operator named.",
    )
    password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        max_length=1000,
        widget=UnfoldAdminPasswordWidget(_hidden_unless(_WITH_PASSWORD, autocomplete="new-password")),
    )
    makes_key = forms.BooleanField(
        label="Make a key pair here",
        required=False,
        widget=UnfoldBooleanWidget(_hidden_unless(_WITH_KEY)),
        help_text="When you save. The public half is shown then, for the receiver to install. Nobody sees the other.",
    )
    private_key = forms.CharField(
        label="Or paste a private key",
        required=False,
        max_length=20_000,
        widget=SecretTextarea(
            _hidden_unless(_WITH_KEY, rows=4, placeholder="-----BEGIN OPENSSH PRIVATE KEY-----"),
        ),
        help_text="Ed25519, ECDSA, or RSA from 2048 bits.",
    )
    passphrase = forms.CharField(
        label="Passphrase of the key",
        required=False,
        strip=False,
        max_length=1000,
        widget=UnfoldAdminPasswordWidget(_hidden_unless(_WITH_KEY, autocomplete="new-password")),
        help_text="Only where the private key has one.",
    )
    fetched_key = forms.CharField(required=False, max_length=5000, widget=forms.HiddenInput)
    fingerprint = forms.CharField(
        label="Fingerprint from the receiver",
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget({"placeholder": "SHA256:…", "autocomplete": "off", "spellcheck": "false"}),
    )
    is_compared = forms.BooleanField(
        label="I compared it with the receiver", required=False, widget=UnfoldBooleanWidget
    )

    class Meta:
        model = Destination
        fields = (
            *("name", "kind", "receiver", "root", "host", "port", "username", "login", "path"),
            *("max_connections", "is_read_back"),
        )

    # Set by the page for the person at work.
    is_owner = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.saved = Destination.objects.filter(pk=self.instance.pk).first() if self.instance.pk else None
        if "root" not in self.fields:
            return  # shown to somebody who may only look
        # Another kind is another destination: what was confirmed and stored belongs to this one.
        self.fields["kind"].disabled = self.saved is not None
        self._offer_roots()
        for name in _SFTP_ONLY:
            self.fields[name].widget.attrs["data-when"] = "kind=sftp"
        # A form that leaves it out keeps the model's default: a folder has no port.
        self.fields["port"].required = self.fields["max_connections"].required = False
        self._tell_stored_secrets()
        if not self.is_owner:
            self._close_to_managers()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        cleaned["port"] = cleaned.get("port") or Destination._meta.get_field("port").default
        cleaned["max_connections"] = cleaned.get("max_connections") or 2
        self._blank_what_does_not_belong(cleaned)
        self._check_secrets(cleaned)
        self.confirmation = self._confirmation(cleaned)
        return cleaned

    def _post_clean(self) -> None:
        """Check the row as a whole once the fields have reached it."""
        super()._post_clean()  # type: ignore[misc]
        try:
            check_destination(self.instance)
        except ValidationError as error:
            for name, problems in error.message_dict.items():
                if name not in self.errors:
                    self.add_error(name if name in self.fields else None, problems)

    def secrets(self) -> dict[str, str]:
        """Return the secrets that were entered and belong to the way of logging in."""
        return {kind.value: self.cleaned_data.get(kind.value) or "" for kind in SECRETS}

    def settings(self) -> Settings:
        """Return what a connection with this form needs, saved or not; stored secrets stand in for empty fields.

        Raises `DeliveryError` secret_unreadable.
        """
        row = self.instance
        if row.kind == Kind.FOLDER:
            return FolderSettings(root=row.root, path=row.path)
        new, stored = self.secrets(), self._stored()
        is_key, has_new_key = row.login == Login.KEY, bool(new[Secret.PRIVATE_KEY])
        keys, day = self._trusted()
        return replace(
            stored,
            host=row.host,
            port=row.port,
            username=row.username,
            path=row.path,
            password=None if is_key else new[Secret.PASSWORD] or stored.password,
            private_key=(new[Secret.PRIVATE_KEY] or stored.private_key) if is_key else None,
            passphrase=(new[Secret.PASSPHRASE] or (None if has_new_key else stored.passphrase)) if is_key else None,
            trusted_keys=keys,
            confirmed_on=day,
        )

    def _stored(self) -> SftpSettings:
        empty = SftpSettings(host="", port=0, username="", path="")
        if self.saved is None or self.saved.kind != Kind.SFTP:
            return empty
        # With the way of logging in that the form names, so that the stored secret of that way is found.
        self.saved.login = self.instance.login
        stored = settings_of(self.saved)
        return stored if isinstance(stored, SftpSettings) else empty

    def _trusted(self) -> tuple[tuple[str, ...], str]:
        """Return the keys that the server may show once this form is saved, and the day of the newest."""
        pinned = host_keys.pinned_keys(self.saved) if self.saved else []
        if self.confirmation is None:
            return tuple(key.public_key for key in pinned), f"{pinned[0].confirmed_at:%-d %B %Y}" if pinned else ""
        new, _ = self.confirmation
        others = [key.public_key for key in pinned if key.fingerprint != new.fingerprint]
        return (new.public_key, *others)[:MOST_KEYS], f"{timezone.now():%-d %B %Y}"

    def _offer_roots(self) -> None:
        roots = list(settings.EXPORT_FOLDERS)
        if self.saved and self.saved.root and self.saved.root not in roots:
            roots.append(self.saved.root)
        field = self.fields["root"]
        field.choices = [(root, root) for root in roots]  # type: ignore[attr-defined]

    def _tell_stored_secrets(self) -> None:
        stored = (
            {one.kind: one for one in DestinationSecret.objects.filter(destination=self.saved)} if self.saved else {}
        )
        for kind in SECRETS:
            if kind in stored:
                one = stored[kind]
                when = f"Set on {timezone.localtime(one.set_at):%-d %B %Y} by {one.set_by}. Empty: it stays."
                self.fields[kind.value].help_text = when
        if Secret.PRIVATE_KEY in stored:
            self.fields["makes_key"].label = "Make a new key pair here"

    def _close_to_managers(self) -> None:
        """Take away what only an owner may say: that a receiver is our own, and that a host key is the right one."""
        if self.instance.receiver != Receiver.OWN or self.saved is None:
            field = self.fields["receiver"]
            field.choices = [(Receiver.PARTNER.value, Receiver.PARTNER.label)]  # type: ignore[attr-defined]
            field.help_text = f"{field.help_text} An owner of the team may call a receiver our own."
        for name in ("fetched_key", "fingerprint", "is_compared"):
            del self.fields[name]

    def _blank_what_does_not_belong(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("kind") == Kind.FOLDER:
            cleaned |= {"host": "", "username": "", "password": "", "private_key": "", "passphrase": ""}
            cleaned |= {"makes_key": False, "fetched_key": "", "fingerprint": "", "is_compared": False}
            return
        cleaned["root"] = ""
        if cleaned.get("login") == Login.PASSWORD:
            cleaned |= {"private_key": "", "passphrase": "", "makes_key": False}
        else:
            cleaned["password"] = ""
        if cleaned.get("makes_key"):
            cleaned |= {"private_key": "", "passphrase": ""}

    def _check_secrets(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("kind") != Kind.SFTP:
            return
        try:
            check_secrets({kind.value: cleaned.get(kind.value) or "" for kind in SECRETS})
        except ValidationError as error:
            self.add_error("private_key", error.message_dict[Secret.PRIVATE_KEY.value])
        if cleaned.get("login") == Login.PASSWORD:
            self._ask_for_password(cleaned)
        elif not cleaned.get("private_key") and not cleaned.get("makes_key") and not self._has(Secret.PRIVATE_KEY):
            self.add_error("private_key", "Paste a private key, or tick “Make a key pair here”.")

    def _ask_for_password(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("password"):
            return
        if not self._has(Secret.PASSWORD):
            self.add_error("password", "Enter the password that the receiver gave you.")
        elif self.saved and any(cleaned.get(name) != getattr(self.saved, name) for name in _SERVER):
            problem = "Host, port or user are others now: enter the password again. It is sent to no other server."
            self.add_error("password", problem)

    def _has(self, kind: Secret) -> bool:
        return self.saved is not None and DestinationSecret.objects.filter(destination=self.saved, kind=kind).exists()

    def _confirmation(self, cleaned: dict[str, Any]) -> tuple[ShownKey, HostKey.How] | None:
        """Return the host key that this form confirms, and how; errors stand at the fingerprint."""
        signed, pasted = cleaned.get("fetched_key") or "", cleaned.get("fingerprint") or ""
        if not (pasted or cleaned.get("is_compared")):
            return None
        try:
            if not signed:
                raise Refused("Fetch the key first, then compare.")
            key = host_keys.open_signed(signed, host=cleaned.get("host") or "", port=cleaned["port"])
            how = host_keys.check_confirmation(key, pasted=pasted, is_compared=bool(cleaned.get("is_compared")))
        except Refused as error:
            self.add_error("fingerprint", str(error))
            return None
        return key, how
