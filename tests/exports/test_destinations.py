"""The way to a receiver: test of the connection, host keys, log-in. Real servers, and what they saw."""

import dataclasses
import subprocess
from pathlib import Path

import asyncssh
import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from audience.tenancy import acting_for
from exports import readiness, vault
from exports.destination_editing import check_secrets, make_login_key, save_destination, stored_secrets
from exports.destinations import host_keys, sftp
from exports.destinations.connection import STEPS, SftpSettings
from exports.destinations.connection_test import StepResult, run_test
from exports.destinations.opening import connect, settings_of
from exports.models import Destination, HostKey, Run, RunTry
from exports.reasons import DeliveryError, Refused
from tests.exports.scene import Scene, make_scene, names
from tests.exports.servers import PasswordServer, Sshd, free_port, listener

pytestmark = pytest.mark.sshd


def outcomes(results: list[StepResult]) -> dict[str, str]:
    return {result.step: result.outcome for result in results}


def settings(server: Sshd, **fields: object) -> SftpSettings:
    defaults = {"path": "", "private_key": server.private_key, "trusted_keys": (server.public_host_key,)}
    return SftpSettings("127.0.0.1", server.port, server.username, **defaults | fields)


class TestConnectionTest:
    def test_every_step_passes_and_nothing_stays_behind(self, sshd: Sshd) -> None:
        results = list(run_test(settings(sshd)))
        assert outcomes(results) == dict.fromkeys(STEPS, "ok")
        assert names(sshd.files) == []

    @pytest.mark.parametrize(
        ("options", "step", "outcome"),
        [
            ("-P rename,posix-rename", "rename", "failed"),
            ("-P posix-rename", "replace", "warning"),
            ("-R", "write", "failed"),
            ("-P read", "read", "warning"),
            ("-P remove", "remove", "warning"),
        ],
    )
    def test_what_a_server_refuses_is_said_at_its_step(
        self, tmp_path: Path, allow_port, options: str, step: str, outcome: str
    ) -> None:
        with Sshd(tmp_path / "sshd", options=options) as server:
            allow_port(server.port)
            results = list(run_test(settings(server)))
        found = outcomes(results)
        assert found[step] == outcome
        assert set(found) == set(STEPS)
        if outcome == "failed":
            reached = list(STEPS).index(step)
            assert {found[later] for later in list(STEPS)[reached + 1 :]} <= {"not_reached", "ok", "warning"}
            assert next(result for result in results if result.step == step).sentence
        else:
            assert "failed" not in found.values()

    def test_a_folder_that_is_not_there(self, sshd: Sshd) -> None:
        results = list(run_test(settings(sshd, path="nowhere")))
        (failed,) = [result for result in results if result.outcome == "failed"]
        assert (failed.step, failed.sentence.split(".")[0]) == ("folder", "nowhere does not exist")

    @pytest.mark.spec("T10")
    def test_a_closed_port_and_one_that_speaks_no_ssh_get_the_same_sentence(
        self, sshd: Sshd, allow_port, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sftp, "LOGIN_SECONDS", 1)
        sentences = []
        with listener() as (port, _):
            for wrong in (port, free_port()):
                allow_port(wrong)
                results = list(run_test(dataclasses.replace(settings(sshd), port=wrong)))
                sentences += [result.sentence for result in results if result.outcome == "failed"]
        assert len(sentences) == 2
        assert len(set(sentences)) == 1
        assert "did not answer as an SFTP server" in sentences[0]

    def test_the_result_makes_the_destination_ready_and_a_change_takes_that_back(
        self, scene: Scene, sshd: Sshd
    ) -> None:
        destination = scene.sftp_destination(sshd, state="draft")
        with acting_for(scene.advertiser.pk):
            list(readiness.try_destination(destination, tested_by="Ana"))
            assert destination.state == "ready"
            destination.name = "Another name"
            save_destination(destination, secrets={}, saved_by="Ana")
            assert destination.state == "ready"
            destination.username = "somebody"
            save_destination(destination, secrets={"password": ""}, saved_by="Ana")
            assert destination.state == "draft"
            destination.username = sshd.username
            save_destination(destination, secrets={}, saved_by="Ana")
            assert destination.state == "ready"  # these settings have passed within the hour
            save_destination(destination, secrets={"private_key": _new_key()}, saved_by="Ana")
            assert destination.state == "draft"

    def test_a_test_of_the_unsaved_form_counts_for_what_is_saved(self, scene: Scene, sshd: Sshd) -> None:
        destination = scene.sftp_destination(sshd, state="draft")
        with acting_for(scene.advertiser.pk):
            tested = settings_of(destination)
            assert readiness.record_test(tested, list(run_test(tested)), tested_by="Ana")
            assert destination.state == "draft"
            readiness.take_over_test(destination)
        assert destination.state == "ready"


def test_a_password_stays_with_the_server_it_was_entered_for(scene: Scene) -> None:
    """Or whoever may edit a destination could have it sent to a server of their own."""
    destination = scene._destination(kind="sftp", host="sftp.example.com", username="ana")
    with acting_for(scene.advertiser.pk):
        vault.keep_secret(destination, "password", "secret", set_by="Ana")
        assert stored_secrets(destination) == {"password": "secret"}
        for name, value in (("host", "evil.example"), ("port", 2222), ("username", "eve")):
            changed = Destination.objects.get()
            setattr(changed, name, value)
            assert stored_secrets(changed) == {}
        save_destination(changed, secrets={}, saved_by="Eve")
        assert vault.secret_of(changed, "password") is None


class TestHostKeys:
    def test_the_key_is_shown_without_logging_in(self, sshd: Sshd) -> None:
        key = host_keys.fetch_key("127.0.0.1", sshd.port)
        told = subprocess.run(
            ["ssh-keygen", "-lf", sshd.folder / "host.pub"], capture_output=True, text=True, check=True
        )
        bits, fingerprint, *_ = told.stdout.split()
        assert (key.fingerprint, key.bits, key.key_type) == (fingerprint, int(bits), "ssh-ed25519")
        assert key.public_key == sshd.public_host_key
        assert "user" not in sshd.log.lower().replace("userauth", "")

    def test_a_pasted_fingerprint_must_be_equal(self, sshd: Sshd) -> None:
        key = host_keys.fetch_key("127.0.0.1", sshd.port)
        as_printed = f"256 {key.fingerprint} receiver (ED25519)"
        assert host_keys.check_confirmation(key, pasted=as_printed, is_compared=False) == HostKey.How.PASTED
        assert host_keys.check_confirmation(key, pasted="", is_compared=True) == HostKey.How.COMPARED
        for pasted, is_compared in [("SHA256:" + "A" * 43, True), (key.fingerprint[:-1], True), ("", False)]:
            with pytest.raises(Refused):
                host_keys.check_confirmation(key, pasted=pasted, is_compared=is_compared)

    def test_a_form_cannot_bring_a_key_of_its_own(self, sshd: Sshd) -> None:
        signed = host_keys.fetch_key("127.0.0.1", sshd.port).signed
        assert host_keys.open_signed(signed, host="127.0.0.1", port=sshd.port).public_key == sshd.public_host_key
        with pytest.raises(Refused):
            host_keys.open_signed(signed[:-2], host="127.0.0.1", port=sshd.port)
        with pytest.raises(Refused):
            host_keys.open_signed(signed, host="127.0.0.2", port=sshd.port)

    def test_three_keys_are_kept_and_who_confirmed_them(self, scene: Scene) -> None:
        destination = scene._destination(host="sftp.example.com")
        for _ in range(4):
            scene.pin(destination, asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode())
        with acting_for(scene.advertiser.pk):
            assert len(host_keys.pinned_keys(destination)) == 3
            assert HostKey.objects.filter(confirmed_by="Ana", how="compared").count() == 4

    @pytest.mark.spec("X5")
    @pytest.mark.spec("E9")
    @pytest.mark.spec("T11")
    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_another_key_ends_everything_before_the_user_name(self, scene: Scene, sshd: Sshd, kind: str) -> None:
        export = scene.export(scene.sftp_destination(sshd), scene.segment(members=1))
        sshd.stop()
        (sshd.folder / "log").write_text("")
        sshd.make_host_key(kind)
        sshd.start()

        run = scene.run(export)

        assert (run.state, run.reason) == ("failed", "host_key_changed")
        assert "showed another key than the one confirmed on" in run.error
        assert run.destination.state == "paused"
        assert run.destination.paused_reason == "host_key_changed"
        log = sshd.log
        assert "SSH2_MSG_KEXINIT" in log
        assert "userauth-request" not in log
        assert f"user {sshd.username}" not in log
        assert names(sshd.files) == []
        connections = log.count("Connection from")
        with acting_for(scene.advertiser.pk):
            assert RunTry.objects.get().step == "host_key"
        with pytest.raises(Refused):
            scene.start(export)
        assert sshd.log.count("Connection from") == connections

    @pytest.mark.spec("X5")
    def test_without_a_confirmed_key_there_is_no_connection(self, scene: Scene, sshd: Sshd) -> None:
        destination = scene.sftp_destination(sshd)
        with acting_for(scene.advertiser.pk):
            HostKey.objects.all().delete()
            with pytest.raises(Refused, match="Fetch the key, compare its fingerprint"):
                readiness.enable(destination)
        (sshd.folder / "log").write_text("")
        run = scene.run(scene.export(destination, scene.segment(members=1)))
        assert (run.state, run.reason) == ("failed", "host_key_missing")
        assert "Connection from" not in sshd.log

    def test_a_second_pinned_key_serves_an_announced_change(self, scene: Scene, sshd: Sshd) -> None:
        destination = scene.sftp_destination(sshd)
        sshd.stop()
        sshd.make_host_key()
        scene.pin(destination, sshd.public_host_key)
        sshd.start()
        assert scene.run(scene.export(destination, scene.segment(members=1))).state == "delivered"


class TestLogin:
    @pytest.mark.spec("X6")
    @pytest.mark.parametrize("questions", [None, ["Passwort: "]])
    def test_a_wrong_password_is_tried_exactly_once(
        self, scene: Scene, tmp_path: Path, allow_port, questions: list[str] | None
    ) -> None:
        with PasswordServer(tmp_path / "server", "right", questions=questions) as server:
            allow_port(server.port)
            destination = scene.sftp_destination(server, password="canary-wrong")
            run = scene.run(scene.export(destination, scene.segment(members=1)))

            assert (run.state, run.reason) == ("failed", "login_refused")
            assert server.log == ["user ana", "keyboard-interactive" if questions else "password"]
            assert run.destination.state == "paused"
            with pytest.raises(Refused, match="paused"):
                scene.again(run)
            assert len(server.log) == 2

    @pytest.mark.spec("X6")
    @pytest.mark.parametrize("questions", [None, ["Passwort: "]])
    def test_the_right_password_works(self, scene: Scene, tmp_path: Path, allow_port, questions) -> None:
        with PasswordServer(tmp_path / "server", "right", questions=questions) as server:
            allow_port(server.port)
            destination = scene.sftp_destination(server, password="right")
            assert scene.run(scene.export(destination, scene.segment(members=1))).state == "delivered"
            assert "cart_2027-03-01.csv" in names(server.files)

    def test_several_questions_are_not_answered(self, scene: Scene, tmp_path: Path, allow_port) -> None:
        with PasswordServer(tmp_path / "server", "right", questions=["Password: ", "Code: "]) as server:
            allow_port(server.port)
            destination = scene.sftp_destination(server, password="right")
            run = scene.run(scene.export(destination, scene.segment(members=1)))
            assert (run.reason, server.log) == ("login_refused", ["user ana"])

    @pytest.mark.spec("X6")
    @pytest.mark.parametrize("form", ["pkcs8-pem", "openssh"])
    @pytest.mark.parametrize(("passphrase", "state"), [("right", "delivered"), ("wrong", "failed")])
    def test_a_key_with_a_passphrase(self, scene: Scene, sshd: Sshd, passphrase: str, state: str, form: str) -> None:
        if form == "openssh":
            pytest.importorskip("bcrypt")
        key = asyncssh.generate_private_key("ssh-ed25519")
        sshd.authorize(key.export_public_key().decode().strip())
        destination = scene.sftp_destination(sshd)
        locked = key.export_private_key(form, passphrase="right").decode()
        with acting_for(scene.advertiser.pk):
            vault.keep_secret(destination, "private_key", locked, set_by="Ana")
            vault.keep_secret(destination, "passphrase", passphrase, set_by="Ana")
        (sshd.folder / "log").write_text("")
        run = scene.run(scene.export(destination, scene.segment(members=1)))
        assert run.state == state
        if state == "failed":
            assert run.error == "The private key cannot be opened with this passphrase. Enter both again."
            assert "Connection from" not in sshd.log

    def test_a_form_says_what_is_wrong_with_a_key(self) -> None:
        weak = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode()
        for key, passphrase, words in [
            (weak, "", "1024 bits"),
            ("-----BEGIN", "", "cannot be opened"),
            (_new_key(passphrase="x"), "y", "cannot be opened"),
        ]:
            with pytest.raises(ValidationError, match=words):
                check_secrets({"private_key": key, "passphrase": passphrase})
        check_secrets({"private_key": _new_key(passphrase="x"), "passphrase": "x"})
        check_secrets(
            {"private_key": asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key().decode()}
        )

    @pytest.mark.spec("X6")
    def test_a_key_pair_made_here(self, scene: Scene, sshd: Sshd) -> None:
        destination = scene.sftp_destination(sshd)
        with acting_for(scene.advertiser.pk):
            public = make_login_key(destination, made_by="Ana")
            assert destination.state == "draft"
            sshd.authorize(public)
            list(readiness.try_destination(destination, tested_by="Ana"))
            assert destination.state == "ready"
        assert scene.run(scene.export(destination, scene.segment(members=1))).state == "delivered"

    @pytest.mark.spec("X6")
    @pytest.mark.spec("E10")
    def test_a_secret_is_in_no_row_log_or_answer(
        self, scene: Scene, tmp_path: Path, allow_port, caplog: pytest.LogCaptureFixture, capfd
    ) -> None:
        caplog.set_level("DEBUG")
        secret = "canary-9e81b2"
        with PasswordServer(tmp_path / "server", "right") as server:
            allow_port(server.port)
            destination = scene.sftp_destination(server, password=secret)
            run = scene.run(scene.export(destination, scene.segment(members=1)))
            with acting_for(scene.advertiser.pk):
                results = list(readiness.try_destination(destination, tested_by="Ana"))
                settings_text = repr(settings_of(destination))
        assert run.reason == "login_refused"
        assert secret not in caplog.text + str(results) + settings_text + "".join(capfd.readouterr())
        assert secret not in _whole_database()


@pytest.mark.spec("X30")
@pytest.mark.spec("E11")
def test_another_advertisers_rows_are_refused_by_the_database(scene: Scene, tmp_path: Path) -> None:
    other = make_scene(tmp_path / "other")
    ours = scene.export(scene.folder_destination(), scene.segment())
    theirs = other.export(other.folder_destination(), other.segment())
    their_run = Run.all_advertisers.create(
        advertiser=other.advertiser,
        export=theirs,
        destination=theirs.destination,
        cause="person",
        due_at="2027-01-01T00:00Z",
    )
    attempts = [
        ("UPDATE exports_export SET destination_id = %s WHERE id = %s", [theirs.destination_id, ours.pk]),
        ("UPDATE exports_exportsegment SET segment_id = (SELECT id FROM segments_segment WHERE advertiser_id = %s)"
         " WHERE export_id = %s", [other.advertiser.pk, ours.pk]),
        ("UPDATE exports_exportcolumn SET export_id = %s WHERE export_id = %s", [theirs.pk, ours.pk]),
        ("UPDATE exports_run SET export_id = %s WHERE id = %s", [ours.pk, their_run.pk]),
        ("UPDATE exports_run SET destination_id = %s WHERE id = %s", [ours.destination_id, their_run.pk]),
        ("INSERT INTO exports_hostkey (advertiser_id, destination_id, public_key, key_type, bits, fingerprint, how,"
         " confirmed_by, confirmed_at) VALUES (%s, %s, '', '', 0, '', '', '', now())",
         [scene.advertiser.pk, theirs.destination_id]),
        ("INSERT INTO exports_destinationsecret (advertiser_id, destination_id, kind, sealed, set_by, set_at)"
         " VALUES (%s, %s, '', '', '', now())", [scene.advertiser.pk, theirs.destination_id]),
    ]  # fmt: skip
    for statement, parameters in attempts:
        with (
            pytest.raises(IntegrityError, match="same_advertiser"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)
            assert cursor.rowcount == 1, statement
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with acting_for(scene.advertiser.pk), pytest.raises(Destination.DoesNotExist):
        Destination.objects.get(pk=theirs.destination_id)


def test_what_leads_out_of_a_root_is_refused(scene: Scene) -> None:
    (scene.folder / "inside").mkdir(parents=True)
    (scene.folder / "link").symlink_to("/tmp")
    for root, path in [
        ("other", "x"),
        ("test", "../x"),
        ("test", "/etc"),
        ("test", "link"),
        ("test", "a//b"),
        ("test", ".x"),
    ]:
        destination = scene._destination(kind="folder", root=root, path=path, name=f"{root} {path}")
        with pytest.raises(DeliveryError) as caught, acting_for(scene.advertiser.pk):
            connect(settings_of(destination))
        assert caught.value.reason.code == "folder_missing"


def _new_key(passphrase: str | None = None) -> str:
    return (
        asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", passphrase=passphrase).decode()
    )


def _whole_database() -> str:
    texts = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [str(text) for (text,) in cursor.fetchall()]
    return "\n".join(texts)
