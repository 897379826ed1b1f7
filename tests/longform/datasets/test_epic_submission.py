"""Results in the forms that the two servers of EPIC-KITCHENS take, written, read and checked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors.errors import ConfigError, ShapeError
from longform.datasets.epic import EPIC_55, EPIC_100, EpicEdition
from longform.datasets.epic_submission import (
    EpicScores,
    Supervision,
    as_submission,
    best_actions,
    read_submission,
    write_submission,
)
from longform.metrics import AnnotationError, epic_prior, epic_topk

SUPERVISION = Supervision(sls_pt=2, sls_tl=3, sls_td=3)


def scores(edition: EpicEdition, *segment_ids: str, with_actions: bool = False) -> EpicScores:
    rng = np.random.default_rng(3)
    verbs = rng.normal(size=(len(segment_ids), edition.num_verbs))
    nouns = rng.normal(size=(len(segment_ids), edition.num_nouns))
    actions = best_actions(verbs, nouns) if with_actions else None
    return EpicScores(edition=edition, segment_ids=segment_ids, verbs=verbs, nouns=nouns, actions=actions)


def test_an_archive_for_epic_55(tmp_path: Path) -> None:
    seen, unseen = scores(EPIC_55, "1924", "1925", with_actions=True), scores(EPIC_55, "15582")
    write_submission(tmp_path / "r.zip", [seen, unseen])
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        assert archive.namelist() == ["seen.json", "unseen.json"]
        content = json.loads(archive.read("seen.json"))
    assert {key: content[key] for key in content if key != "results"} == {
        "version": "0.1",
        "challenge": "action_recognition",
    }
    entry = content["results"]["1925"]
    assert list(entry["verb"]) == [str(i) for i in range(125)]
    assert entry["noun"]["351"] == seen.nouns[1, 351]
    assert len(entry["action"]) == 100
    read = read_submission(tmp_path / "r.zip")
    assert list(read) == [f"{tmp_path / 'r.zip'}/{name}" for name in ("seen.json", "unseen.json")]
    again, other = read.values()
    assert (again.edition, again.segment_ids, other.segment_ids) == (EPIC_55, ("1924", "1925"), ("15582",))
    assert (again.verbs == seen.verbs).all()
    assert (again.nouns == seen.nouns).all()
    assert again.actions is not None
    assert seen.actions is not None
    assert (again.actions.pairs == seen.actions.pairs).all()
    assert (again.actions.scores == seen.actions.scores).all()
    assert other.actions is None


def test_an_archive_for_epic_100(tmp_path: Path) -> None:
    part = scores(EPIC_100, "P01_101_0")
    write_submission(tmp_path / "r.zip", [part], SUPERVISION)
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        content = json.loads(archive.read("test.json"))
    assert list(content) == ["version", "challenge", "sls_pt", "sls_tl", "sls_td", "results"]
    assert (content["version"], content["sls_pt"], len(content["results"]["P01_101_0"]["noun"])) == ("0.2", 2, 300)
    (read,) = read_submission(tmp_path / "r.zip").values()
    assert (read.edition, read.segment_ids) == (EPIC_100, ("P01_101_0",))


def test_best_actions_rank_as_the_metric(shared: Path) -> None:
    """The golden case: an action is among the best 5 pairs as often as the official program counts."""
    golden = shared / "golden" / "epic_topk"
    logits = np.load(golden / "scores.npz")
    labels = np.loadtxt(golden / "labels.csv", delimiter=",", skiprows=1, dtype=int)
    prior = epic_prior(golden / "annotations" / "EPIC_train_action_labels.csv")
    actions = best_actions(logits["verb_logits"], logits["noun_logits"], prior)
    hits = (actions.pairs == labels[:, None, 1:]).all(-1)
    counted = epic_topk(logits["verb_logits"], logits["noun_logits"], labels[:, 1], labels[:, 2], prior)
    assert 100 * hits[:, 0].mean() == pytest.approx(counted["action_top1"])
    assert 100 * hits[:, :5].any(1).mean() == pytest.approx(counted["action_top5"])
    assert (np.diff(actions.scores) <= 0).all()


def test_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = scores(EPIC_55, "1")
    with pytest.raises(ShapeError, match=r"nouns are \(1, 300\); expected \(1, 352\)"):
        EpicScores(edition=EPIC_55, segment_ids=("1",), verbs=good.verbs, nouns=np.zeros((1, 300)))
    with pytest.raises(ShapeError, match="all finite"):
        EpicScores(edition=EPIC_55, segment_ids=("1",), verbs=good.verbs * np.inf, nouns=good.nouns)
    with pytest.raises(ShapeError, match="twice"):
        scores(EPIC_55, "1", "1")
    path = tmp_path / "r.zip"
    with pytest.raises(ConfigError, match=r"takes 2 parts \(seen\.json, unseen\.json\); got 1"):
        write_submission(path, [good])
    with pytest.raises(ConfigError, match="one edition; got EPIC-KITCHENS-100, EPIC-KITCHENS-55"):
        write_submission(path, [good, scores(EPIC_100, "1")])
    with pytest.raises(ConfigError, match="EPIC-KITCHENS-55 takes no declaration"):
        write_submission(path, [good, good], SUPERVISION)
    with pytest.raises(ConfigError, match="EPIC-KITCHENS-100 needs a declaration"):
        write_submission(path, [scores(EPIC_100, "1")])
    with pytest.raises(ConfigError, match="sls_td is 6; expected 0 to 5"):
        Supervision(sls_pt=0, sls_tl=0, sls_td=6)
    assert not path.exists()


def changed(content: dict[str, Any], *keys: str, to: Any) -> dict[str, Any]:
    place: Any = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return content


@pytest.mark.parametrize(
    ("keys", "to", "reason"),
    [
        (("version",), "0.3", "version '0.3' and challenge 'action_recognition'; expected 0.1 or 0.2"),
        (("challenge",), "action_anticipation", "challenge 'action_anticipation'"),
        (("results",), {}, "is no submission"),
        (("results", "7", "verb"), {"0": 1.0}, "segment '7' is malformed: 1 classes; expected those from 0 to 124"),
        (("results", "7", "noun", "351"), "x", "segment '7' is malformed: could not convert string to float: 'x'"),
        (("results", "7", "noun", "351"), float("nan"), "segment '7' is malformed: score nan is not finite"),
        (("results", "7"), [], "segment '7' is malformed: no 'verb'"),
        (("results", "7", "action"), {"0,1": 1.0}, "segment '7' is malformed: 1 actions; expected 100"),
        (("results", "7", "action"), {f"125,{i}": 1.0 for i in range(100)}, r"action \[125, 0\]; expected verb,noun"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, keys: tuple[str, ...], to: Any, reason: str) -> None:
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(changed(as_submission(scores(EPIC_55, "7")), *keys, to=to)))
    with pytest.raises(AnnotationError, match=r"seen\.json'.*" + reason):
        read_submission(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("version,0.1")
    with pytest.raises(AnnotationError, match=r"r\.json' is neither JSON nor a zip archive"):
        read_submission(tmp_path / "r.json")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_submission(tmp_path / "absent.json")
