"""`longform doctor` says what works, and names the way out where something does not."""

import json
import socket
from pathlib import Path

import pytest

from longform.doctor import machine, packages, places, video
from longform.doctor.finding import OK, PROBLEM, WARNING, Finding, examined
from pipeline.cli import main


def _by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_this_machine_can_extract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = {(found["topic"], found["check"]): found for found in json.loads(capsys.readouterr().out)}
    for codec in video.SAMPLES:
        assert findings["video", codec]["found"].startswith("decoded by"), codec
    assert findings["video", "motion vectors"]["status"] == OK
    assert findings["packages", "required"]["status"] == OK


def test_every_problem_and_warning_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_DISK", 1 << 62)
    monkeypatch.setattr(machine, "LEAST_MEMORY", 1 << 62)
    found = [*machine.machine(), *places.bank(str(tmp_path / "none")), *places.runners("nowhere")]
    bad = [finding for finding in found if finding.status != OK]
    assert {finding.check for finding in bad} == {"memory", "temporary files", "folder", str(tmp_path / "none"),
                                                  "job endpoint"}  # fmt: skip
    assert all(finding.advice for finding in bad)


def test_an_old_package_is_a_problem_of_the_core_and_a_warning_of_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["numpy>=99", 'pytest>=99; extra == "hf"',
                                                                  'no-such-thing; extra == "cloud"'])  # fmt: skip
    found = _by_check(list(packages.packages()))
    assert found["required"].status == PROBLEM
    assert "expected >=99" in found["required"].found
    assert found["extra hf"].status == WARNING
    assert found["extra cloud"].status == OK
    assert "longform-video[cloud]" in found["extra cloud"].advice


def test_a_job_server_that_answers_and_one_that_does_not() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        assert _by_check(list(places.runners(f"localhost:{port}")))["job endpoint"].status == OK
    assert _by_check(list(places.runners(f"localhost:{port}")))["job endpoint"].status == PROBLEM


def test_a_damaged_codec_is_a_problem_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "SAMPLES", {"no_such_codec": ("libx264", ".mp4")})
    with pytest.raises(KeyError):
        list(video.video())
    found = examined("video", video.video)
    assert [finding.status for finding in found] == [OK, PROBLEM, PROBLEM]
    assert "broke off" in found[-1].found


def test_changed_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path))
    assert _by_check(list(places.weights()))["files"].status == OK
    store = places.Store()
    name = next(name for name, card in places.CARDS.items() if not card.packaged)
    store.path(name).parent.mkdir(parents=True)
    store.path(name).write_bytes(b"one")
    store.verify([name])
    store.path(name).write_bytes(b"two")
    assert name in _by_check(list(places.weights()))["files"].found


def test_the_exit_status_tells_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--bank", str(tmp_path)]) == 1
    assert "1 with a problem" in capsys.readouterr().out
