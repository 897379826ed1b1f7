"""Text to moment, from a video to an answer: a CLIP that was taught the colours of squares finds the red one."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.errors import ConfigError, MissingDependency
from extractors.runtime import Runtime
from longform.query.index import SpaceIndexError, build
from longform.query.search import search
from longform.query.text import TextSearchError, text
from pipeline.bank import FeatureBank
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.image_text import ImageTextStage
from pipeline.sample.encode import encode
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments
from tests.longform.query.banks import CLIPS, bank_of
from tests.longform.query.test_commands import run_search

transformers = pytest.importorskip("transformers")

from extractors.image_text import image_text_source  # noqa: E402
from tests.extractors.tiny_image_text import COLOURS, save_clip, square_picture, teach_colours  # noqa: E402

SPACE, UNTAUGHT = "frame.taught", "frame.untaught"
ORDER = ("blue", "yellow", "black", "red", "white", "green")
MOMENT_S = 2


def film(path: Path) -> Path:
    """Two seconds of a square of each colour, which moves every half second."""
    moments = [(colour, 5000 + i) for i, colour in enumerate(np.repeat(ORDER, 2 * MOMENT_S))]
    frames = [square_picture(colour, seed) for colour, seed in moments for _ in range(2)]
    encode(frames, path, fps=Fraction(4))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film, and its bank by each of two models: "taught" ("bank") and "untaught" ("blind")."""
    folder = tmp_path_factory.mktemp("text")
    film(folder / "film.mp4")
    teach_colours(save_clip(folder / "taught"))
    save_clip(folder / "untaught", seed=3)
    for model, name in (("taught", "bank"), ("untaught", "blind")):
        stage = ImageTextStage(image_text_source(f"hf:{folder / model}"), Runtime())
        config = ExtractConfig(preset="text", stages=(stage,))
        assert extract([str(folder / "film.mp4")], str(folder / name), config, quiet=True).ok == 1
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy whose bank and models a test may spoil; the bank still names the models of `made`."""
    return Path(shutil.copytree(made, tmp_path / "copied"))


def colour_found(bank: FeatureBank, space: str, colour: str) -> str:
    """The colour on screen at the best answer to "the <colour> square"."""
    best = search(bank, space, text(bank, space, f"the {colour} square"), 1).hits[0]
    return ORDER[int(best.at_s) // MOMENT_S]


def test_a_text_finds_its_moment_and_only_by_what_the_model_knows(made: Path) -> None:
    bank = FeatureBank.open(made / "bank")
    assert bank.spaces[SPACE].rows == MOMENT_S * len(ORDER)
    assert [colour_found(bank, SPACE, colour) for colour in COLOURS] == list(COLOURS)
    blind = FeatureBank.open(made / "blind")
    by_chance = sum(colour_found(blind, UNTAUGHT, colour) == colour for colour in COLOURS)
    assert by_chance <= 3, "a model that knows nothing finds one of six by chance"


def test_through_an_index_the_answer_is_the_same(copied: Path) -> None:
    bank = FeatureBank.open(copied / "bank")
    query = text(bank, SPACE, "a photo of the green square")
    exact = search(bank, SPACE, query, 5)
    build(bank, SPACE)
    found = search(bank, SPACE, query, 5)
    assert found.notes[0].startswith("index HNSW32")
    assert [hit.at_s for hit in found.hits] == [hit.at_s for hit in exact.hits]
    np.testing.assert_allclose([hit.score for hit in found.hits], [hit.score for hit in exact.hits], atol=1e-5)


def test_features_in_the_bank_are_those_of_transformers(made: Path) -> None:
    rows = FeatureBank.open(made / "bank").features(SPACE).to_pylist()
    facts, index = probe(str(made / "film.mp4"))
    (whole,) = plan_segments(str(made / "film.mp4"), facts.measured, index, 1e9)[0]
    pictures = {frame.pts: frame.picture(PictureSpec()).copy() for frame in decode(facts, whole, DecodeStats())}
    model = transformers.CLIPModel.from_pretrained(made / "taught").eval()
    processor = transformers.CLIPImageProcessorPil.from_pretrained(made / "taught")
    for row in rows:
        seen = pictures[row["frame_pts"][0]]
        with torch.no_grad():
            inputs = processor(images=seen, return_tensors="pt", input_data_format="channels_last")
            expected = model.get_image_features(**inputs).pooler_output[0].numpy()
        np.testing.assert_allclose(np.asarray(row["feature"], np.float32), expected, rtol=1e-3, atol=1e-3)


def test_the_command_prints_the_moment(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_search(made / "bank", SPACE, text="the red square", k=2, json=True) == 0
    hits = json.loads(capsys.readouterr().out)
    assert [ORDER[int(hit["at_s"]) // MOMENT_S] for hit in hits] == ["red", "red"]
    assert {hit["video_id"] for hit in hits} == {"film.mp4"}


def test_a_model_that_moved_is_asked_for_and_found_where_the_user_says(copied: Path) -> None:
    manifest = json.loads((copied / "bank" / "bank.json").read_text())
    made_by = manifest["spaces"][SPACE]["provenance"]["card"]["text_model"]
    made_by["name"] = f"hf:{copied}/gone"
    (copied / "bank" / "bank.json").write_text(json.dumps(manifest))
    bank = FeatureBank.open(copied / "bank")
    with pytest.raises(TextSearchError, match=r"/gone, which cannot be read.*--weights hf:FOLDER"):
        text(bank, SPACE, "the red square")
    found = search(bank, SPACE, text(bank, SPACE, "the red square", f"hf:{copied / 'taught'}"), 1)
    assert ORDER[int(found.hits[0].at_s) // MOMENT_S] == "red"


def test_a_model_that_changed_or_is_another_is_refused(copied: Path) -> None:
    bank = FeatureBank.open(copied / "bank")
    with pytest.raises(TextSearchError, match="of sha256"):
        text(bank, SPACE, "the red square", f"hf:{copied / 'untaught'}")
    (copied / "taught" / "tokenizer_config.json").write_text("{}")
    with pytest.raises(TextSearchError, match="or extract the space again"):
        text(bank, SPACE, "the red square", f"hf:{copied / 'taught'}")


def test_a_space_of_another_kind_is_refused_and_those_that_fit_are_named(made: Path, tmp_path: Path) -> None:
    bank_of(tmp_path / "bank", {"a": 3})
    with pytest.raises(TextSearchError, match=r"none in this bank.*--preset text --weights frames=hf:FOLDER"):
        text(FeatureBank.open(tmp_path / "bank"), CLIPS, "the red square")


def test_an_index_of_distances_does_not_fit_texts(copied: Path) -> None:
    bank = FeatureBank.open(copied / "bank")
    build(bank, SPACE, "flat", "l2")
    query = text(bank, SPACE, "the red square")
    with pytest.raises(SpaceIndexError, match="--metric cosine"):
        search(bank, SPACE, query)
    assert 0 < search(bank, SPACE, query, 1, exact=True).hits[0].score <= 1


def test_words_are_wanted_and_not_too_many(made: Path) -> None:
    bank = FeatureBank.open(made / "bank")
    for words, said in (("", "empty"), ("red square " * 30, "in fewer words")):
        with pytest.raises(ConfigError, match=said):
            text(bank, SPACE, words)


def test_without_transformers_the_extra_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependency, match=r"longform-video\[hf\]"):
        text(FeatureBank.open(made / "bank"), SPACE, "the red square")
