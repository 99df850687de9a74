"""What stands in the file: layouts, columns, forms of CSV, and where people got lost."""

import codecs
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audience.models import Identifier
from audience.tenancy import acting_for
from exports.models import Run
from exports.preview import preview_of
from segments.ranges import FOREVER
from tests.exports.scene import CUSTOMER, EMAIL, YESTERDAY, Scene, check_set, members_by_sql, names, read_csv
from tests.factories import make_member, make_profile

CODE = {"source": "segment_code"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def rows_of(scene: Scene, run: Run, number: int = 0, **options: Any) -> list[list[str]]:
    assert (run.state, run.error) == ("delivered", "")
    files = [name for name in names(scene.out) if "manifest" not in name]
    return read_csv(scene.out / files[number], **options)


def test_every_column_shows_what_the_membership_holds(scene: Scene) -> None:
    segment = scene.segment("cart", name="Full cart")
    member = scene.member(segment, value=65, email="ana@example.com")
    columns = [{"source": source} for source in ("starts_at", "expires_at", "value", "last_added_at", "member")]
    columns += [{"source": source} for source in ("segment_id", "segment_code", "segment_name")]
    columns += [{"source": "constant", "constant": 'a,"b"', "header": "note"}, {**EMAIL, "header": "Mail"}]

    header, row = rows_of(scene, scene.run(scene.export(scene.folder_destination(), segment, columns=columns)))

    assert header[-2:] == ["note", "Mail"]
    times = dict(zip(header, row, strict=True))
    for name in ("starts_at", "expires_at", "last_added_at"):
        assert datetime.fromisoformat(times[name]) == getattr(member, name).replace(microsecond=0)
    assert row[2] == "65"
    assert row[4:] == ["true", str(segment.pk), "cart", "Full cart", 'a,"b"', "ana@example.com"]


def test_who_has_no_end_in_one_of_several_segments_has_none(scene: Scene) -> None:
    segments = scene.segment("cart"), scene.segment("fans")
    for days, mail in ((9, "ana@example.com"), (None, "bob@example.com")):
        profile = make_profile(scene.advertiser, email=mail)
        make_member(segments[0], profile, starts_at=datetime.now(UTC) - YESTERDAY)
        end = FOREVER if days is None else datetime.now(UTC) + timedelta(days=days)
        make_member(segments[1], profile, starts_at=datetime.now(UTC) - YESTERDAY, expires_at=end)
    columns = [EMAIL, {"source": "expires_at"}]
    export = scene.export(scene.folder_destination(), *segments, columns=columns, layout="segment_list")
    _, *rows = rows_of(scene, scene.run(export))
    assert [(mail, bool(end)) for mail, end in rows] == [("ana@example.com", True), ("bob@example.com", False)]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_times_are_of_the_export_zone_or_unix_seconds(scene: Scene, zone: str) -> None:
    segment = scene.segment()
    member = scene.member(segment, email="ana@example.com")
    columns = [{"source": "starts_at"}]
    destination = scene.folder_destination()
    iso = scene.run(scene.export(destination, segment, columns=columns, zone=zone, file_name="iso_{run}.csv"))
    (text,) = rows_of(scene, iso)[1]
    assert text == member.starts_at.astimezone(ZoneInfo(zone)).replace(microsecond=0).isoformat()
    unix = scene.export(destination, segment, columns=columns, times="unix", zone=zone, file_name="unix_{run}.csv")
    assert rows_of(scene, scene.run(unix), 1)[1] == [str(int(member.starts_at.timestamp()))]


@pytest.mark.spec("R7")
@pytest.mark.spec("E5")
def test_who_is_not_in_at_the_snapshot_is_not_in_the_file(scene: Scene) -> None:
    """Expiry is a predicate: no sweeper has run here."""
    segment = scene.segment(members=1)
    now = datetime.now(UTC)
    for name, starts_at, lifetime in [
        ("over", now - YESTERDAY, YESTERDAY - timedelta(seconds=1)),
        ("to-come", now + timedelta(hours=1), YESTERDAY),
        ("marker", now - YESTERDAY, timedelta(0)),
    ]:
        profile = make_profile(scene.advertiser, email=f"{name}@example.com")
        make_member(segment, profile, starts_at=starts_at, lifetime=lifetime)
    other_version = make_profile(scene.advertiser, email="edited@example.com")
    make_member(segment, other_version, starts_at=now - YESTERDAY, version=2)
    run = scene.run(scene.export(scene.folder_destination(), segment))
    assert rows_of(scene, run)[1:] == [["cart0@example.com"]]
    assert members_by_sql(segment, run.as_of) - {"edited@example.com"} == {"cart0@example.com"}


@pytest.mark.spec("E7")
def test_the_funnel_balances(scene: Scene) -> None:
    segment = scene.segment(members=3)
    scene.member(segment, customer_id="no-mail")
    scene.member(segment, email="日本@example.com")
    columns = [{**EMAIL, "is_required": True}]
    run = scene.run(scene.export(scene.folder_destination(), segment, columns=columns, encoding="iso-8859-1"))
    assert run.funnel == {"members": 5, "no_identifier": 1, "encoding": 1, "written": 3}
    assert len(rows_of(scene, run)) == 1 + 3
    assert run.rows_expected == 4
    assert run.rows_written == 3


class TestSeveralValues:
    def segment(self, scene: Scene):
        segment = scene.segment()
        profile = make_profile(scene.advertiser, seen_at=LONG_AGO, email="old@example.com")
        make_member(segment, profile, starts_at=datetime.now(UTC) - YESTERDAY)
        newer = make_profile(scene.advertiser, seen_at=LONG_AGO + YESTERDAY, email="new@example.com")
        Identifier.all_advertisers.filter(profile=newer).update(profile=profile)
        scene.member(segment, customer_id="no-mail")
        return segment

    @pytest.mark.parametrize(
        ("column", "expected"),
        [
            ({"values": "newest"}, [["email"], ["new@example.com"], ["-"]]),
            ({"values": "columns", "count": 3}, [
                ["email_1", "email_2", "email_3"], ["new@example.com", "old@example.com", "-"], ["-", "-", "-"]]),
            ({"values": "rows"}, [["email"], ["new@example.com"], ["old@example.com"], ["-"]]),
        ],
    )  # fmt: skip
    def test_the_newest_comes_first(self, scene: Scene, column: dict[str, Any], expected: list[list[str]]) -> None:
        export = scene.export(
            scene.folder_destination(), self.segment(scene), columns=[{**EMAIL, **column}], null_text="-"
        )
        assert rows_of(scene, scene.run(export)) == expected


class TestLayouts:
    def two_segments(self, scene: Scene):
        cart, buyers = scene.segment("cart"), scene.segment("buyers")
        both = make_profile(scene.advertiser, email="both@example.com")
        for segment in (cart, buyers):
            make_member(segment, both, starts_at=datetime.now(UTC) - YESTERDAY)
        scene.member(cart, email="cart@example.com")
        return cart, buyers

    def test_one_file_per_segment(self, scene: Scene) -> None:
        run = scene.run(scene.export(scene.folder_destination(), *self.two_segments(scene)))
        assert {row[0] for row in rows_of(scene, run, 0)[1:]} == {"both@example.com"}  # buyers
        assert {row[0] for row in rows_of(scene, run, 1)[1:]} == {"both@example.com", "cart@example.com"}
        manifest = check_set(scene.out, run)
        assert [file["rows"] for file in manifest["files"]] == [2, 1]
        assert [segment["code"] for segment in manifest["segments"]] == ["cart", "buyers"]

    @pytest.mark.parametrize(
        ("layout", "columns", "expected"),
        [
            ("segment_column", [EMAIL, CODE], [
                ["email", "segment_code"],
                ["both@example.com", "buyers"], ["both@example.com", "cart"], ["cart@example.com", "cart"]]),
            ("segment_list", [EMAIL, CODE], [
                ["email", "segment_code"], ["both@example.com", "cart|buyers"], ["cart@example.com", "cart"]]),
            ("segment_flags", [EMAIL], [
                ["email", "cart", "buyers"],
                ["both@example.com", "true", "true"], ["cart@example.com", "true", "false"]]),
        ],
    )  # fmt: skip
    def test_one_file_for_all(self, scene: Scene, layout: str, columns: list[Any], expected: list[list[str]]) -> None:
        segments = self.two_segments(scene)
        export = scene.export(
            scene.folder_destination(), *segments, layout=layout, columns=columns, file_name="all_{date}.csv"
        )
        run = scene.run(export)
        header, *rows = rows_of(scene, run)
        assert [header, *sorted(rows)] == expected
        assert run.funnel["members"] == run.funnel["written"] == 2
        assert check_set(scene.out, run)["totals"]["rows"] == len(rows)


NASTY = [
    'a,"b"',
    "two\nlines",
    "cr\r\nlf",
    "=1+1",
    "+49 30 1",
    "-x",
    "@y",
    "😀",
    "שלום",
    "'quoted'",
    "semi;colon",
    "tab\tin",
]


class TestForms:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
    @pytest.mark.parametrize("form", [
        {}, {"delimiter": ";", "line_end": "lf"}, {"delimiter": "tab", "quoting": "all"},
        {"delimiter": "|", "is_formula_safe": True},
    ])  # fmt: skip
    @pytest.mark.spec("X20")
    def test_what_was_written_is_read_back(self, scene: Scene, encoding: str, form: dict[str, Any]) -> None:
        segment = scene.segment(members=1)
        columns = [
            {"source": "constant", "constant": text, "header": f"h{place}"} for place, text in enumerate(NASTY)
        ]
        run = scene.run(scene.export(
            scene.folder_destination(), segment, columns=[*columns, EMAIL], encoding=encoding, **form))  # fmt: skip

        delimiter = {"tab": "\t"}.get(form.get("delimiter", ","), form.get("delimiter", ","))
        _, row = rows_of(scene, run, encoding=encoding, delimiter=delimiter)

        expected = [_safe(text) if form.get("is_formula_safe") else text for text in NASTY]
        if not encoding.startswith("utf"):
            expected = [text.encode(encoding, "replace").decode(encoding) for text in expected]
            assert run.funnel["replaced_values"] == 2  # the emoji and the Hebrew word
        assert row == [*expected, "cart0@example.com"]

    @pytest.mark.spec("X20")
    def test_an_identifier_never_gets_a_formula_sign(self, scene: Scene) -> None:
        segment = scene.segment()
        scene.member(segment, phone="+493012345")
        columns = [{"source": "identifier", "identifier_kind": "phone"}]
        run = scene.run(scene.export(scene.folder_destination(), segment, columns=columns, is_formula_safe=True))
        assert rows_of(scene, run)[1:] == [["+493012345"]]

    def test_marks_line_ends_and_missing_values(self, scene: Scene) -> None:
        segment = scene.segment()
        scene.member(segment, customer_id="C-1")
        columns = [CUSTOMER, EMAIL, {"source": "member"}]
        export = scene.export(
            scene.folder_destination(), segment, columns=columns, null_text="NULL", booleans="1/0", quoting="all",
            encoding="utf-8-sig",
        )  # fmt: skip
        scene.run(export)
        content = (scene.out / names(scene.out)[0]).read_bytes()
        assert content == codecs.BOM_UTF8 + b'"customer_id","email","member"\r\n"C-1",NULL,"1"\r\n'

    def test_no_header(self, scene: Scene) -> None:
        scene.run(scene.export(scene.folder_destination(), scene.segment(members=1), has_header=False, line_end="lf"))
        assert (scene.out / names(scene.out)[0]).read_bytes() == b"cart0@example.com\n"

    def test_the_same_rows_give_the_same_bytes(self, scene: Scene) -> None:
        segment, destination = scene.segment(members=50), scene.folder_destination()
        for _ in range(2):
            scene.run(scene.export(destination, segment, compression="gzip", file_name="{run}.csv"))
        first, second = (path.read_bytes() for path in sorted(scene.out.glob("*.gz")))
        assert first == second
        assert first[4:8] == b"\0\0\0\0"  # no time inside


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1252"])
def test_a_preview_shows_what_the_file_will_have(scene: Scene, encoding: str) -> None:
    columns = [EMAIL, {"source": "constant", "constant": 'a;"b"\n'}]
    form = {"delimiter": ";", "encoding": encoding}
    export = scene.export(scene.folder_destination(), scene.segment(members=30), columns=columns, **form)
    with acting_for(scene.advertiser.pk):
        shown = preview_of(export)
    assert shown == rows_of(scene, scene.run(export), encoding=encoding, delimiter=";")[:21]


class TestSplitting:
    @pytest.mark.parametrize(
        ("limit", "parts"), [({"split_rows": 4}, 3), ({"split_rows": 10}, 1), ({"split_bytes": 60}, 5)]
    )
    @pytest.mark.parametrize("compression", ["none", "gzip"])
    def test_no_row_is_lost_or_cut(self, scene: Scene, limit: dict[str, int], parts: int, compression: str) -> None:
        segment = scene.segment(members=10)
        name = "cart_{date}_{part}.csv"
        export = scene.export(scene.folder_destination(), segment, file_name=name, compression=compression, **limit)
        run = scene.run(export)
        manifest = check_set(scene.out, run)
        assert [file["name"].split(".")[0][-3:] for file in manifest["files"]] == [
            f"{n + 1:03}" for n in range(parts)
        ]
        rows = []
        for file in manifest["files"]:
            header, *part = read_csv(scene.out / file["name"])
            assert header == ["email"]
            assert len(part) == file["rows"]
            rows += part
        assert sorted(row[0] for row in rows) == sorted(members_by_sql(segment, run.as_of))

    def test_the_first_part_may_have_no_number(self, scene: Scene) -> None:
        export = scene.export(
            scene.folder_destination(), scene.segment(members=3), file_name="x_{date}_{part}.csv", split_rows=2,
            is_first_part_numbered=False, has_manifest=False,
        )  # fmt: skip
        scene.run(export)
        assert names(scene.out) == ["x_2027-03-01.csv", "x_2027-03-01_002.csv"]


class TestFewPeople:
    @pytest.mark.spec("X18")
    def test_nobody_and_send(self, scene: Scene) -> None:
        run = scene.run(scene.export(scene.folder_destination(), scene.segment(), empty="send"))
        assert rows_of(scene, run) == [["email"]]
        assert check_set(scene.out, run)["totals"] == {"files": 1, "rows": 0, "bytes": 7}

    @pytest.mark.spec("X18")
    @pytest.mark.parametrize(("empty", "state"), [("skip", "skipped"), ("fail", "failed")])
    def test_nobody_and_nothing_is_sent(self, scene: Scene, empty: str, state: str) -> None:
        run = scene.run(scene.export(scene.folder_destination(), scene.segment(), empty=empty, has_sentinel=True))
        assert (run.state, run.reason) == (state, "empty")
        assert not scene.out.exists()

    @pytest.mark.spec("X19")
    @pytest.mark.parametrize(
        ("members", "state"), [(0, "skipped"), (4, "skipped"), (5, "delivered"), (6, "delivered")]
    )
    def test_fewer_than_the_minimum(self, scene: Scene, members: int, state: str) -> None:
        run = scene.run(scene.export(scene.folder_destination(), scene.segment(members=members), minimum_size=5))
        assert run.state == state
        if state == "skipped":
            assert run.error == f"Only {members} people, the minimum is 5. Nothing was sent. The export goes on."
            assert not scene.out.exists()
            assert not list(scene.run_folder.glob("*/*"))

    def test_a_partner_gets_no_small_file_unless_the_export_says_so(self, scene: Scene) -> None:
        run = scene.run(scene.export(scene.folder_destination(receiver="partner"), scene.segment(members=5)))
        assert (run.state, run.facts["minimum"]) == ("skipped", 100)


def _safe(text: str) -> str:
    return "'" + text if text[0] in "=+-@\t\r" else text
