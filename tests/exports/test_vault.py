"""Secrets at rest."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from audience.tenancy import acting_for
from exports import vault
from exports.models import DestinationSecret
from exports.reasons import DeliveryError
from tests.exports.scene import Scene

SECRET = "canary-7f3a horse ✓"


def keep(scene: Scene, name: str = "One"):
    destination = scene._destination(name=name, host="sftp.example.com", username="ana")
    with acting_for(scene.advertiser.pk):
        vault.keep_secret(destination, "password", SECRET, set_by="Ana")
    return destination


@pytest.mark.spec("E10")
@pytest.mark.spec("T14")
def test_a_secret_is_sealed_and_opens_again(scene: Scene) -> None:
    destination = keep(scene)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sealed, exports_destinationsecret::text FROM exports_destinationsecret")
        assert not any("canary" in column for column in cursor.fetchone())
    with acting_for(scene.advertiser.pk):
        assert vault.secret_of(destination, "password") == SECRET
        assert "Ana" in str(DestinationSecret.objects.get())


@pytest.mark.spec("E10")
@pytest.mark.parametrize("moved", ["destination", "kind"])
def test_a_ciphertext_moved_elsewhere_does_not_open(scene: Scene, moved: str) -> None:
    destination = keep(scene)
    other = scene._destination(name="Two") if moved == "destination" else destination
    kind = "passphrase" if moved == "kind" else "password"
    with acting_for(scene.advertiser.pk):
        DestinationSecret.objects.update(destination=other, kind=kind)
        with pytest.raises(DeliveryError, match="cannot be opened"):
            vault.secret_of(other, kind)


def test_a_changed_byte_does_not_open(scene: Scene) -> None:
    destination = keep(scene)
    with acting_for(scene.advertiser.pk):
        stored = DestinationSecret.objects.get()
        head, _, last = stored.sealed.rpartition(":")
        DestinationSecret.objects.update(sealed=f"{head}:{'A' if last[0] != 'A' else 'B'}{last[1:]}")
        with pytest.raises(DeliveryError):
            vault.secret_of(destination, "password")


@pytest.mark.spec("X36")
def test_keys_are_rotated_and_an_old_one_is_taken_away(scene: Scene, settings: Settings) -> None:
    destination = keep(scene)
    old, new = settings.DELIVERY_KEYS[0], Fernet.generate_key().decode()

    settings.DELIVERY_KEYS = [new, old]
    with acting_for(scene.advertiser.pk):
        assert vault.secret_of(destination, "password") == SECRET
    call_command("rotate_secrets")

    settings.DELIVERY_KEYS = [new]
    with acting_for(scene.advertiser.pk):
        assert vault.secret_of(destination, "password") == SECRET

    settings.DELIVERY_KEYS = [old]
    with acting_for(scene.advertiser.pk), pytest.raises(DeliveryError) as caught:
        vault.secret_of(destination, "password")
    assert caught.value.reason.code == "secret_unreadable"
    settings.DELIVERY_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="One"):
        call_command("rotate_secrets")
