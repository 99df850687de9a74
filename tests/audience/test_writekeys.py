"""Write keys: a public one is found as it stands, of a server key only a digest is kept."""

import pytest
from django.db import connection

from audience.models import WriteKey
from audience.writekeys import find_write_key, issue_write_key, revoke_write_key
from tests.factories import make_advertiser

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", WriteKey.Kind)
def test_a_key_is_found_until_it_is_switched_off(kind):
    row, plain = issue_write_key(make_advertiser(), name="Shop", kind=kind)
    assert plain.startswith({"public": "mw_", "server": "ms_"}[kind])
    assert find_write_key(plain) == row
    assert find_write_key(f"{plain[:-1]}{'0' if plain[-1] != '0' else '1'}") is None

    revoke_write_key(row)
    assert find_write_key(plain) is None


@pytest.mark.spec("T24")
def test_a_server_key_cannot_be_read_from_the_database():
    row, plain = issue_write_key(make_advertiser(), name="Back end", kind=WriteKey.Kind.SERVER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT k::text FROM audience_writekey k WHERE id = %s", [row.pk])
        assert plain not in cursor.fetchone()[0]
    assert len(plain) == 46


@pytest.mark.parametrize("text", ["", "mw_", "ms_short", "mw_ZZZZZZZZ", "mw_4f9c2b7a\n", "x" * 10_000])
def test_what_has_no_form_of_a_key_is_no_key(text):
    assert find_write_key(text) is None
