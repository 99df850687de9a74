"""What a file is called: whatever is typed, a safe name inside the folder."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from exports.file_names import Fields, check_template, numbered, part_name, render

DUE = datetime(2027, 3, 28, 4, 5, 6, tzinfo=ZoneInfo("Europe/Berlin"))


def fields(**values: str) -> Fields:
    return Fields(**{"advertiser": "Shop", "export": "CRM nightly", "run": 17, "due_at": DUE} | values)


NAMES = [
    ("{export}_{date}.csv", {}, "CRM_nightly_2027-03-28.csv"),
    ("{date:YYYYMMDD}-{time}.csv", {}, "20270328-040506.csv"),
    ("{date:YYYY-MM-DD_HH.mm.ss}.csv", {}, "2027-03-28_04.05.06.csv"),
    ("{unix}_{unix_ms}.csv", {}, "1806199506_1806199506000.csv"),
    ("{advertiser}.{run}.{mode}.csv", {}, "Shop.17.full.csv"),
    ("{segment_id}-{segment_code}-{segment}.csv", {"segment_id": "9", "segment_code": "cart", "segment": "Körbe & ß"},
     "9-cart-Korbe_ss.csv"),
    ("x_{part}.csv", {"part": "001"}, "x_001.csv"),
    ("x_{part}.csv", {"part": ""}, "x.csv"),
    ("{segment}.csv", {"segment": "日本"}, "csv"),
    ("{segment}.csv", {"segment": "../../etc/passwd"}, "_._etc_passwd.csv"),
    ("{segment}.csv", {"segment": "{run}"}, "_run_.csv"),
    ("{segment}.csv", {"segment": "CON"}, "_CON.csv"),
    ("NUL", {}, "_NUL"),
    ("-rf.csv", {}, "rf.csv"),
    (".hidden", {}, "hidden"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "values", "expected"), NAMES)
@pytest.mark.spec("X31")
def test_a_name(template: str, values: dict[str, str], expected: str) -> None:
    check_template(template)
    assert render(template, fields(**values)) == expected


@pytest.mark.parametrize(
    "template",
    [
        "../x",
        "a/b.csv",
        "{0.__class__}",
        "{export.__class__}",
        "{export!r}",
        "{unknown}",
        "{date:%Y}",
        "{run:5}",
        "",
        "x\n",
        "{",
        "}",
        "{{export}}",
        "ä.csv",
        "%2e%2e.csv",
        "a\x00b",
        "{date:YYYY/MM}",
        "{date:yes}",
        "a b.csv",
    ],
)
@pytest.mark.spec("X31")
@pytest.mark.spec("T12")
def test_a_template_that_is_refused(template: str) -> None:
    with pytest.raises(ValidationError):
        check_template(template)


@given(
    value=st.text(max_size=400), template=st.sampled_from(["{segment}.csv", "{export}_{segment}", "{segment}{part}"])
)
@pytest.mark.spec("X31")
@pytest.mark.spec("T12")
def test_whatever_a_segment_is_called_the_name_is_safe(value: str, template: str) -> None:
    name = render(template, fields(segment=value, part="001"), ending=".gz")
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
    assert len(name.encode()) <= 200
    assert ".." not in name
    assert name.endswith(".gz")


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("a.csv", "a_2.csv"),
        ("a.csv.gz", "a_2.csv.gz"),
        ("a", "a_2"),
        ("a.2027-01-02.csv", "a.2027-01-02_2.csv"),
        ("a.csv.manifest.json", "a.csv.manifest_2.json"),
    ],
)
def test_a_number_stands_before_the_ending(name: str, second: str) -> None:
    assert (numbered(name, 1), numbered(name, 2)) == (name, second)


def test_what_is_under_way_is_called_part() -> None:
    assert [part_name("a.csv"), part_name("a.csv", 2)] == ["a.csv.part", "a.csv.2.part"]
