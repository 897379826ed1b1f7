"""`longform eval lfb-...` on tiny data sets: official files out and in, what is missing, why a model answered so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.networks import network_source
from longform.datasets.ava import read_detections
from longform.datasets.epic_submission import read_submission
from longform.lfb import options as lfb_options
from longform.metrics.charades_map import read_charades_submission
from longform.metrics.tables import AnnotationError
from longform.training.errors import TrainingError
from pipeline.bank import FeatureBank
from pipeline.presets import NetworkOptions, build_config
from tests.longform.lfb.tiny_data import SMALL, evaluate, make_ava, make_charades, make_epic, train

Json = list[dict[str, object]]


class Runs:
    """A tiny trained run of each recipe, with the words that all commands on its data set share."""

    def __init__(self, folder: Path) -> None:
        self.ava, self.epic, self.charades = (folder / name for name in ("ava", "epic", "charades"))
        make_ava(self.ava), make_epic(self.epic), make_charades(self.charades)
        frozen = ("--weights", "untrained", "--freeze", "nothing")
        self.train("lfb-ava", self.ava, *frozen, "--bank", str(self.ava / "bank"), "--start-second", "900")
        self.train("lfb-epic-verb", self.epic, *frozen, "--bank", str(self.epic / "verbs"), "--operator", "max")
        self.train("lfb-epic-noun", self.epic, *frozen, "--bank", str(self.epic / "nouns"), "--operator", "avg")
        self.train("lfb-charades", self.charades, *frozen, "--operator", "none")

    def train(self, recipe: str, folder: Path, *words: str) -> None:
        steps = ("--steps", "1", "--batch", "2", "--out", str(folder / recipe))
        train(recipe, *self.data(folder), *words, *steps, *SMALL)

    def data(self, folder: Path) -> tuple[str, ...]:
        return ("--annotations", str(folder / "annotations"), "--videos", str(folder / "videos"))

    def eval(self, recipe: str, folder: Path, *words: str) -> None:
        evaluate(recipe, *self.data(folder), "--checkpoint", str(folder / recipe / "final.safetensors"), *words)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], Json]:
    """The lines of JSON since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"')]


def test_ava_out_and_in(runs: Runs, tmp_path: Path, lines: Callable[[], Json]) -> None:
    """The official csv: every predicted box of the film with both actions; measured again it gives the same."""
    written, bank = str(tmp_path / "detections.csv"), str(runs.ava / "bank")
    runs.eval("lfb-ava", runs.ava, "--bank", bank, "--start-second", "900", "--output", written)
    (score,) = lines()
    assert {**score, "value": 0} == {"dataset": "ava", "metric": "mAP", "value": 0, "std_error": None, "seeds": 1,
                                     "num_videos": 2, "num_missing": 0}  # fmt: skip
    rows = list(read_detections(written))
    assert len(rows) == 2 * 3 * 2 * 2
    assert {(row.video, row.second) for row in rows} == {(v, s) for v in "cd" for s in (902, 903, 904)}
    evaluate("lfb-ava", "--annotations", str(runs.ava / "annotations"), "--results", written)
    assert lines() == [score]
    kept = [line for line in Path(written).read_text().splitlines() if not line.startswith("d,")]
    (tmp_path / "part.csv").write_text("\n".join(kept))
    evaluate("lfb-ava", "--annotations", str(runs.ava / "annotations"), "--results", str(tmp_path / "part.csv"))
    (part,) = lines()
    assert (part["num_videos"], part["num_missing"], part["missing"]) == (1, 1, ["d"])
    assert part["value"] < score["value"]  # type: ignore[operator]


def test_ava_in_all_views(runs: Runs, lines: Callable[[], Json]) -> None:
    runs.eval("lfb-ava", runs.ava, "--bank", str(runs.ava / "bank"), "--start-second", "900", "--views", "full")
    (score,) = lines()
    assert 0 < score["value"] <= 1  # type: ignore[operator]


def test_why_it_answered_so(runs: Runs, tmp_path: Path) -> None:
    """For each box the moments of its window with their weights, which sum to 1 with those of the empty slots."""
    bank, file = str(runs.ava / "bank"), tmp_path / "why.json"
    words = ("--bank", bank, "--start-second", "900", "--explain", str(file))
    runs.eval("lfb-ava", runs.ava, *words, "--explain-video", "c", "--explain-top", "0")
    found = json.loads(file.read_text())
    assert (found["dataset"], found["operator"], found["window_s"], found["bank"]) == ("ava", "nl", 60, bank)
    assert found["space"] in FeatureBank.open(bank).spaces
    assert [(p["video"], p["at_s"]) for p in found["predictions"]] == [("c", s) for s in (2, 2, 3, 3, 4, 4)]
    for prediction in found["predictions"]:
        assert prediction["box"] in ([0.1, 0.2, 0.5, 0.9], [0.5, 0.2, 0.9, 0.9])
        assert [score["name"] for score in prediction["scores"]] != []
        moments = prediction["moments"]
        assert (len(moments), prediction["empty_slots"]) == (25, 275)
        assert {moment["at_s"] for moment in moments} == {0, 1, 2, 3, 4}
        assert all(moment["offset_s"] == moment["at_s"] - prediction["at_s"] for moment in moments)
        assert sum(m["weight"] for m in moments) + prediction["empty_weight"] == pytest.approx(1, abs=1e-5)
        assert all(np.mean(m["layers"]) == pytest.approx(m["weight"]) and len(m["layers"]) == 2 for m in moments)
        assert [m["weight"] for m in moments] == sorted((m["weight"] for m in moments), reverse=True)
    runs.eval("lfb-ava", runs.ava, *words, "--explain-top", "3")
    assert {len(p["moments"]) for p in json.loads(file.read_text())["predictions"]} == {3}
    with pytest.raises(TrainingError, match="--explain-video e: not among the 2 videos"):
        runs.eval("lfb-ava", runs.ava, *words, "--explain-video", "e")


def test_epic_actions_from_two_files(runs: Runs, tmp_path: Path, lines: Callable[[], Json]) -> None:
    """Verbs and nouns by themselves, then actions from their files; the submission has the scores of the files."""
    verbs, nouns, sent = (str(tmp_path / name) for name in ("verbs.npz", "nouns.npz", "seen.json"))
    runs.eval("lfb-epic-verb", runs.epic, "--bank", str(runs.epic / "verbs"), "--output", verbs)
    assert [line["metric"] for line in lines()] == ["verb_top1", "verb_top5"]
    runs.eval("lfb-epic-noun", runs.epic, "--bank", str(runs.epic / "nouns"), "--output", nouns)
    assert [line["metric"] for line in lines()] == ["noun_top1", "noun_top5"]
    annotations = ("--annotations", str(runs.epic / "annotations"))
    evaluate("lfb-epic-noun", *annotations, "--results", nouns, "--with", verbs, "--submission", sent)
    found = {str(line["metric"]): line["value"] for line in lines()}
    assert set(found) == {f"{what}_top{k}" for what in ("verb", "noun", "action") for k in (1, 5)}
    assert found["action_top5"] == 100  # four pairs were seen in training, and the prior knows no others
    evaluate("lfb-epic-verb", *annotations, "--results", verbs, "--with", nouns, "--prior", "none")
    assert {str(line["metric"]): line["value"] for line in lines()}["verb_top1"] == found["verb_top1"]
    (scores,) = read_submission(sent).values()
    assert scores.segment_ids == ("8", "9", "10", "11")
    with np.load(verbs) as held:
        np.testing.assert_allclose(scores.verbs, held["logits"])
    with pytest.raises(AnnotationError, match="has scores of verbs; expected nouns"):
        evaluate("lfb-epic-noun", *annotations, "--results", verbs)


def test_charades_out_and_in(runs: Runs, tmp_path: Path, lines: Callable[[], Json]) -> None:
    written = str(tmp_path / "scores.txt")
    runs.eval("lfb-charades", runs.charades, "--output", written)
    scores = lines()
    assert [(line["metric"], line["num_videos"]) for line in scores] == [("mAP", 2), ("wAP", 2)]
    assert list(read_charades_submission(written)) == ["B1", "B2"]
    evaluate("lfb-charades", "--annotations", str(runs.charades / "annotations"), "--results", written)
    assert lines() == scores


def test_the_largest_score_of_thirty_views_counts(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by one that answers with the number of the view."""
    from longform.lfb import prediction

    calls = 0

    def numbered(model: object, batch: object, *, explain: bool) -> tuple[np.ndarray, None]:
        nonlocal calls
        clips = len(batch.clips)  # type: ignore[attr-defined]
        logits = np.repeat(np.arange(calls, calls + clips, dtype=np.float32)[:, None], 157, axis=1)
        calls += clips
        return logits, None

    monkeypatch.setattr(prediction, "_run", numbered)
    runs.eval("lfb-charades", runs.charades, "--output", str(tmp_path / "s.txt"), "--views", "full")
    found = read_charades_submission(tmp_path / "s.txt")
    assert (calls, found["B1"][0], found["B2"][156]) == (60, 58, 59)


def test_missing_videos_are_counted_and_named(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = tmp_path / "videos.csv"
    listing.write_text(f"video_id,uri\nB1,{runs.charades}/videos/test/B1.mp4\n")
    words = ["lfb-charades", "--annotations", str(runs.charades / "annotations"), "--videos", str(listing)]
    words += ["--checkpoint", str(runs.charades / "lfb-charades" / "final.safetensors")]
    evaluate(*words, "--allow-missing")
    captured = capsys.readouterr()
    line = json.loads(captured.out.splitlines()[0])
    assert (line["num_videos"], line["num_missing"], line["missing"]) == (1, 1, ["B2"])
    assert "1 of 2 videos" in captured.err


def test_the_network_of_a_run_writes_a_bank(runs: Runs, tmp_path: Path) -> None:
    """Its file builds the network that was trained, which sees clips as in training."""
    file = str(tmp_path / "network.safetensors")
    runs.eval("lfb-charades", runs.charades, "--write-network", file)
    stage = build_config("lfb-charades", networks=NetworkOptions(weights=(file,))).stage("clips")
    spec = stage.network.input  # type: ignore[attr-defined]
    assert (spec.num_frames, spec.stride, spec.short_side_px, spec.crop_px, spec.fps) == (8, 2, 32, 32, 24)
    network = stage.network.build()  # type: ignore[attr-defined]
    checkpoint = str(runs.charades / "lfb-charades" / "final.safetensors")
    built = lfb_options.options_of_checkpoint("charades", checkpoint)
    model = lfb_options.loaded_model(checkpoint, built.config(bank_dim=None, num_classes=157))
    clip = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(clip), model(clip))
    assert network_source("lfb_i3d_nl_r50", file, **dict(stage.network.options)).sha256 == stage.network.sha256  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        ("lfb-charades", [], "--checkpoint, or a file of results"),
        ("lfb-charades", ["--checkpoint", "nowhere/x.safetensors"], "no config.json above it"),
        ("lfb-ava", ["--checkpoint", "r50_charades_nl_lfb"], "is for charades"),
        ("lfb-ava", ["--checkpoint", "CHARADES"], "is of recipe lfb-charades, not of lfb-ava"),
    ],
)
def test_what_cannot_be_measured(runs: Runs, recipe: str, words: list[str], message: str) -> None:
    words = [str(runs.charades / "lfb-charades" / "final.safetensors") if w == "CHARADES" else w for w in words]
    with pytest.raises(TrainingError, match=message):
        evaluate(recipe, *runs.data(runs.charades), *words)


def test_an_operator_without_a_bank_explains_nothing(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="reads no bank that could explain"):
        runs.eval("lfb-charades", runs.charades, "--explain", str(tmp_path / "x.json"))
