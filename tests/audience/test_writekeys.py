"""Write keys: a public one is kept as it stands, of a server key a digest. The door's tests say what they open."""

import pytest
from django.db import connection

from audience.models import WriteKey
from audience.writekeys import digest_of, issue_write_key, revoke_write_key
from tests.factories import make_advertiser

pytestmark = pytest.mark.django_db


def test_a_public_key_is_kept_as_it_stands():
    row, plain = issue_write_key(make_advertiser(), name="Shop", kind=WriteKey.Kind.PUBLIC)
    assert plain.startswith("mw_")
    assert (row.public_key, row.prefix, row.digest) == (plain, None, "")


@pytest.mark.spec("T24")
def test_a_server_key_cannot_be_read_from_the_database():
    row, plain = issue_write_key(make_advertiser(), name="Back end", kind=WriteKey.Kind.SERVER)
    assert plain.startswith("ms_")
    assert len(plain) == 46
    assert row.digest == digest_of(plain)
    with connection.cursor() as cursor:
        cursor.execute("SELECT k::text FROM audience_writekey k WHERE id = %s", [row.pk])
        assert plain not in cursor.fetchone()[0]


def test_a_key_is_switched_off_once():
    row, _ = issue_write_key(make_advertiser(), name="Shop", kind=WriteKey.Kind.PUBLIC)
    revoke_write_key(row)
    at = row.revoked_at
    revoke_write_key(row)
    row.refresh_from_db()
    assert row.revoked_at == at is not None
