"""A page proves a user id by a hash that only the site's own server can make."""

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from audience.models import IdentitySecret
from audience.proofs import hash_of, is_proven, live_secrets, make_secret
from tests.factories import make_advertiser

USER = "31f4f3fd96b6f3e50ee6879a66c6225cfcddcf1f75293021a78e7be6dc415aea"
GROUP = "721b31e449cd39d4d2ffa7606ab38d90ec6414b7cdf99bbdaab4bf50f1fc03d9"
SECRET = "identity-test-secret"


def test_user_hash_vector():
    assert hash_of(SECRET, "user", "C-1001") == USER
    assert hash_of(SECRET, "group", "acme") == GROUP


@pytest.mark.parametrize(
    ("what", "id_", "claimed", "is_good"),
    [
        ("user", "C-1001", USER, True),
        ("group", "acme", GROUP, True),
        ("user", "C-1002", USER, False),
        ("group", "C-1001", USER, False),
        ("user", "C-1001", USER.upper(), False),
        ("user", "C-1001", "", False),
        ("user", "C-1001", "é\ud800", False),
    ],
)
def test_a_hash_proves_its_own_id_only(what, id_, claimed, is_good):
    assert is_proven([SECRET, "another"], what, id_, claimed) is is_good
    assert not is_proven([], what, id_, claimed)


@pytest.mark.django_db
def test_two_secrets_are_live_and_sealed():
    advertiser, other = make_advertiser(), make_advertiser()
    made = [make_secret(advertiser) for _ in range(3)]
    make_secret(other)

    assert live_secrets()[advertiser.pk] == [made[2], made[1]]
    assert not {*made} & {*IdentitySecret.all_advertisers.values_list("sealed", flat=True)}


@pytest.mark.django_db
def test_identity_secrets_are_sealed_anew_with_the_others(settings):

    made = make_secret(advertiser := make_advertiser())
    old, new = settings.DELIVERY_KEYS[0], Fernet.generate_key().decode()
    settings.DELIVERY_KEYS = [new, old]
    call_command("rotate_secrets", verbosity=0)

    settings.DELIVERY_KEYS = [new]
    assert live_secrets() == {advertiser.pk: [made]}
    settings.DELIVERY_KEYS = [Fernet.generate_key().decode()]
    assert live_secrets() == {}, "others' still open"
    with pytest.raises(CommandError, match="identity secret"):
        call_command("rotate_secrets", verbosity=0)
