"""What a public write key may never do (pixels.md 4.3): the whole table, a row each."""

import json

import pytest

from audience.identity import Key
from audience.proofs import is_proven
from tests.pixels.messages import ADVERTISER, COOKIE, error_of, read_one, sender

USER_HASH = "31f4f3fd96b6f3e50ee6879a66c6225cfcddcf1f75293021a78e7be6dc415aea"
GROUP_HASH = "721b31e449cd39d4d2ffa7606ab38d90ec6414b7cdf99bbdaab4bf50f1fc03d9"

DEVICE = Key(ADVERTISER, "device", "a:x1")
USER = Key(ADVERTISER, "customer_id", "C-1001")
EMAIL = Key(ADVERTISER, "email", "jo@example.com")
PHONE = Key(ADVERTISER, "phone", "+4989123456")
CONTACTS = {"email": "Jo@Example.com", "phone": "+49 89 123456"}
CLAIM = {"claimed_customer_id": "C-1001"}

PUBLIC = sender()
BROWSER = sender(browser=COOKIE)
SERVER = sender(is_server=True)

# kind, by whom, what it says -> own, linked, proven, traits, account
TABLE = {
    "anonymous": ("track", PUBLIC, {"anonymousId": "x1"}, DEVICE, (), (), {}, ""),
    "cookie": ("track", BROWSER, {}, COOKIE, (), (), {}, ""),
    "both": ("track", BROWSER, {"anonymousId": "x1"}, COOKIE, (DEVICE,), (), {}, ""),
    "claim": ("track", BROWSER, {"userId": "C-1001"}, COOKIE, (), (), CLAIM, ""),
    "claim with traits": (
        "identify",
        BROWSER,
        {"userId": "C-1001", "traits": CONTACTS},
        COOKIE,
        (),
        (),
        {**CONTACTS, **CLAIM},
        "",
    ),
    "proof": ("track", BROWSER, {"userId": "C-1001", "userHash": USER_HASH}, COOKIE, (), (USER,), {}, ""),
    "proof in context": (
        "track",
        PUBLIC,
        {"anonymousId": "x1", "userId": "C-1001", "context": {"userHash": USER_HASH}},
        DEVICE,
        (),
        (USER,),
        {},
        "",
    ),
    "proof alone": ("track", PUBLIC, {"userId": "C-1001", "userHash": USER_HASH}, USER, (), (USER,), {}, ""),
    "proof with contacts": (
        "identify",
        BROWSER,
        {"userId": "C-1001", "userHash": USER_HASH, "traits": CONTACTS},
        COOKIE,
        (EMAIL, PHONE),
        (USER,),
        CONTACTS,
        "",
    ),
    "group": ("group", BROWSER, {"groupId": "acme"}, COOKIE, (), (), {"claimed_account_id": "acme"}, ""),
    "group's traits": (
        "group",
        BROWSER,
        {"groupId": "acme", "traits": {"plan": "gold"}},
        COOKIE,
        (),
        (),
        {"claimed_account_id": "acme"},
        "",
    ),
    "proven group": (
        "group",
        BROWSER,
        {"groupId": "acme", "groupHash": GROUP_HASH, "traits": {"plan": "gold"}},
        COOKIE,
        (),
        (),
        {"plan": "gold"},
        "acme",
    ),
    "server's user": ("track", SERVER, {"userId": "C-1001"}, USER, (), (USER,), {}, ""),
    "server's device": ("track", SERVER, {"anonymousId": "x1"}, DEVICE, (), (), {}, ""),
    "server's both": ("track", SERVER, {"userId": "C-1001", "anonymousId": "x1"}, DEVICE, (), (USER,), {}, ""),
    "server's contacts": ("identify", SERVER, {"traits": CONTACTS}, EMAIL, (), (EMAIL, PHONE), CONTACTS, ""),
    "server's group": ("group", SERVER, {"userId": "C-1001", "groupId": "acme"}, USER, (), (USER,), {}, "acme"),
}
REFUSED = {
    "nobody": ("track", PUBLIC, {}, "no_id"),
    "server's nobody": ("track", SERVER, {}, "no_id"),
    "user alone": ("track", PUBLIC, {"userId": "C-1001"}, "unproven_user"),
    "wrong hash": ("track", BROWSER, {"userId": "C-1001", "userHash": GROUP_HASH}, "bad_hash"),
    "another's hash": ("track", BROWSER, {"userId": "C-1002", "userHash": USER_HASH}, "bad_hash"),
    "hash without secret": (
        "track",
        sender(browser=COOKIE, secrets=()),
        {"userId": "C-1001", "userHash": USER_HASH},
        "bad_hash",
    ),
    "wrong group hash": ("group", BROWSER, {"groupId": "acme", "groupHash": USER_HASH}, "bad_hash"),
    "group without id": ("group", BROWSER, {}, "no_id"),
    "alias": ("alias", BROWSER, {"userId": "C-1001", "previousId": "x1"}, "needs_server_key"),
    "proven alias": (
        "alias",
        BROWSER,
        {"userId": "C-1001", "userHash": USER_HASH, "previousId": "x1"},
        "needs_server_key",
    ),
    "alias of nothing": ("alias", SERVER, {"userId": "C-1001"}, "no_id"),
    "id too long": ("track", PUBLIC, {"anonymousId": "x" * 301}, "no_id"),
    "id of control characters": ("track", PUBLIC, {"anonymousId": "a\nb"}, "no_id"),
    "id of another type": ("track", PUBLIC, {"anonymousId": ["x1"]}, "bad_type"),
}


@pytest.mark.spec("pixels.md 4.3")
@pytest.mark.parametrize("row", TABLE)
def test_identities_by_the_table(row):
    kind, by, said, own, linked, proven, traits, account = TABLE[row]
    message = read_one(kind, by, **said)
    assert (message.own, message.linked, message.proven) == (own, linked, proven)
    assert json.loads(message.traits) == traits
    assert (message.account, message.previous) == (account, None)


@pytest.mark.spec("pixels.md 4.3")
@pytest.mark.parametrize("row", REFUSED)
def test_refusals_by_the_table(row):
    kind, by, said, error = REFUSED[row]
    assert error_of(kind, by, **({"event": "viewed"} | said)) == error


@pytest.mark.spec("pixels.md 4.3")
@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group"])
def test_public_key_speaks_for_its_own_profile_alone(kind):
    said = {"userId": "C-1001", "anonymousId": "x1", "groupId": "acme", "traits": CONTACTS}
    message = read_one(kind, BROWSER, **said)
    assert {message.own, *message.linked} == {COOKIE, DEVICE}
    assert not message.proven
    assert not message.account


def test_a_client_made_id_is_never_a_minted_one():
    message = read_one("track", PUBLIC, anonymousId=COOKIE.value)
    assert message.own == Key(ADVERTISER, "device", f"a:{COOKIE.value}")


@pytest.mark.parametrize(
    ("said", "previous"),
    [
        ({"previousId": "C-1"}, Key(ADVERTISER, "customer_id", "C-1")),
        ({"previousId": "x1", "anonymousId": "x1"}, DEVICE),
    ],
)
def test_alias_by_a_server_key(said, previous):
    message = read_one("alias", SERVER, userId="C-1001", **said)
    assert (message.previous, message.proven) == (previous, (USER,))


@pytest.mark.spec("pixels.md 4.3")
def test_user_hash_vector():
    secrets = ("a-newer-secret", "identity-test-secret")
    assert is_proven(secrets, "user", "C-1001", USER_HASH)
    assert is_proven(secrets, "group", "acme", GROUP_HASH)
    assert not is_proven(secrets, "user", "C-1002", USER_HASH)
    assert not is_proven(secrets, "group", "C-1001", USER_HASH)
    assert not is_proven((), "user", "C-1001", USER_HASH)
    assert not is_proven(secrets, "user", "C-1001", "ü")
