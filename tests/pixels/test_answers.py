"""What the door says back, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from pixels import answers

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_bodies():
    assert len(answers.GIF) == 43
    assert answers.GIF.hex() == (
        "4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b"
    )
    assert len(answers.SCRIPT) == 13


def test_the_common_headers_are_on_every_answer_of_a_fire():
    fire_id = bytes(15) + b"\x01"
    for answer in (
        answers.fire_answer(fire_id, is_script=False, set_cookie="a=b"),
        answers.fire_answer(fire_id, is_script=True, set_cookie=None),
        answers.busy_answer(fire_id),
        answers.check_answer("/seg?mb=1", "a=b"),
    ):
        assert set(answers.COMMON_HEADERS) <= set(answer.headers)


def test_fire_ids_as_crockford_base_32():
    assert answers.crockford(bytes(16)) == "0" * 26
    assert answers.crockford(b"\xff" * 16) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    # The example of the ULID specification.
    assert answers.crockford(bytes.fromhex("01563e3ab5d3d6764c61efb99302bd5b")) == "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@given(st.integers(0, 2**128 - 1))
def test_a_fire_id_can_be_read_back(number):
    value = 0
    for digit in answers.crockford(number.to_bytes(16)):
        value = value * 32 + DIGITS.index(digit)
    assert value == number
