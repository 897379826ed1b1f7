"""extractors/image_text.py: equal to transformers used directly, and clear about what it cannot use. No network."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from extractors.errors import ConfigError, ExtractorError, MissingDependency, ShapeError, WeightsError
from extractors.image_text import image_text_source
from extractors.runtime import Runtime

transformers = pytest.importorskip("transformers")

from tests.extractors.tiny_image_text import MAX_TOKENS, save_clip, save_siglip, save_xclip, square_picture  # noqa: E402

SAVERS = {"clip": save_clip, "siglip": save_siglip, "xclip": save_xclip}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: save(root / f"Tiny-{family}") for family, save in SAVERS.items()}


@pytest.fixture
def clip(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the CLIP that a test may spoil."""
    return Path(shutil.copytree(folders["clip"], tmp_path / "Tiny-clip"))


def pictures(count: int) -> list[np.ndarray]:
    sizes = [(96, 128), (128, 96), (33, 200), (32, 32)]
    return [square_picture("red", seed, sizes[seed % len(sizes)]) for seed in range(count)]


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_features_of_a_frame_are_those_of_transformers(folders: dict[str, Path], family: str) -> None:
    source = image_text_source(f"hf:{folders[family]}")
    model = source.build(Runtime())
    direct = transformers.AutoModel.from_pretrained(folders[family]).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folders[family], backend="pil")
    for picture in pictures(4):
        inputs = processor(images=picture, return_tensors="pt", input_data_format="channels_last")
        with torch.no_grad():
            expected = direct.get_image_features(**inputs).pooler_output[0].numpy()
        found = model.embed([model.prepare(picture)])
        assert found.shape == (source.dim,)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_features_of_a_clip_are_those_of_transformers(folders: dict[str, Path]) -> None:
    source = image_text_source(f"hf:{folders['xclip']}")
    assert (source.num_frames, source.dim) == (4, 16)
    model, frames = source.build(Runtime()), [square_picture("blue", seed) for seed in range(4)]
    direct = transformers.XCLIPModel.from_pretrained(folders["xclip"]).eval()
    processor = transformers.VideoMAEImageProcessorPil.from_pretrained(folders["xclip"])
    with torch.no_grad():
        pixels = processor(frames, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        expected = direct.get_video_features(pixel_values=pixels).pooler_output[0].numpy()
    found = model.embed([model.prepare(frame) for frame in frames])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(ShapeError, match="takes 4"):
        model.embed([model.prepare(frames[0])])


@pytest.mark.parametrize("family", SAVERS)
@pytest.mark.parametrize("text", ["the red square", "a photo of the blue square", "Square!"])
def test_features_of_a_text_are_those_of_transformers(folders: dict[str, Path], family: str, text: str) -> None:
    model = image_text_source(f"hf:{folders[family]}").build(Runtime())
    direct = transformers.AutoModel.from_pretrained(folders[family]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[family])
    padding = {"padding": "max_length", "max_length": MAX_TOKENS} if family == "siglip" else {}
    with torch.no_grad():
        tokens = tokenizer([text], return_tensors="pt", **padding)
        expected = direct.get_text_features(**tokens).pooler_output[0].numpy()
    np.testing.assert_allclose(model.embed_text(text), expected, atol=1e-5 * np.abs(expected).max())


def test_siglip_with_a_sentencepiece_file(folders: dict[str, Path], tmp_path: Path) -> None:
    """The first SigLIP has spiece.model, which the package sentencepiece reads."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = Path(shutil.copytree(folders["siglip"], tmp_path / "siglip"))
    (folder / "tokenizer.json").unlink()
    (folder / "words.txt").write_text("a photo of the red square and of the green blue one\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"), model_prefix=str(folder / "spiece"), vocab_size=40, hard_vocab_limit=False,
        bos_id=-1, eos_id=1, unk_id=2, pad_id=0, minloglevel=2,
    )  # fmt: skip
    named = {"tokenizer_class": "SiglipTokenizer", "model_input_names": ["input_ids"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    tokens = transformers.SiglipTokenizer.from_pretrained(folder)(
        ["The red square."], padding="max_length", max_length=MAX_TOKENS, return_tensors="pt"
    )
    assert tokens["input_ids"].shape == (1, MAX_TOKENS)
    assert "attention_mask" not in tokens
    with torch.no_grad():
        expected = transformers.SiglipModel.from_pretrained(folder).eval().get_text_features(**tokens).pooler_output[0]
    found = image_text_source(f"hf:{folder}").build(Runtime()).embed_text("The red square.")
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5 * expected.abs().max())


def test_a_source_says_what_it_is_and_travels_to_other_processes(folders: dict[str, Path]) -> None:
    source = image_text_source(f"hf:{folders['clip']}")
    assert (source.family, source.model, source.num_frames) == ("clip", "tiny_clip", 1)
    assert source.name == f"hf:{folders['clip']}"
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301


def test_the_sha256_is_of_weights_settings_and_tokenizer_and_of_nothing_else(clip: Path) -> None:
    before = image_text_source(f"hf:{clip}").sha256
    (clip / "README.md").write_text("about")
    assert image_text_source(f"hf:{clip}").sha256 == before
    for name in ("preprocessor_config.json", "vocab.json", "model.safetensors"):
        data = (clip / name).read_bytes()
        (clip / name).write_bytes(data + b" ")
        assert image_text_source(f"hf:{clip}").sha256 != before
        (clip / name).write_bytes(data)
    assert image_text_source(f"hf:{clip}").sha256 == before


def test_weights_stored_in_half_precision_are_computed_in_float32(clip: Path) -> None:
    exact = image_text_source(f"hf:{clip}").build(Runtime()).embed_text("red")
    transformers.CLIPModel.from_pretrained(clip).half().save_pretrained(clip)
    found = image_text_source(f"hf:{clip}").build(Runtime()).embed_text("red")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact).max())


def test_texts_that_a_model_cannot_read_are_refused(folders: dict[str, Path]) -> None:
    for family in SAVERS:
        model = image_text_source(f"hf:{folders[family]}").build(Runtime())
        with pytest.raises(ConfigError, match=f"reads {MAX_TOKENS} at most"):
            model.embed_text("the red square " * 20)
        for empty in ("", "  "):
            with pytest.raises(ConfigError, match="empty text"):
                model.embed_text(empty)


@pytest.mark.parametrize("picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_frame_is_refused(folders: dict[str, Path], picture: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="expected \\(H, W, 3\\) uint8"):
        image_text_source(f"hf:{folders['clip']}").build(Runtime()).prepare(picture)


@pytest.mark.parametrize("name", ["", "hf:", "untrained", "clip.safetensors"])
def test_what_names_no_model_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="hf:FOLDER"):
        image_text_source(name)


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="there is no folder"):
        image_text_source(f"hf:{tmp_path}/gone")
    with pytest.raises(WeightsError, match="hf download nobody/no-such-clip"):
        image_text_source("hf:nobody/no-such-clip", download=False)
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        image_text_source("hf:nobody/no-such-clip")


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["config.json"], "config.json"),
        (["preprocessor_config.json"], "image processor"),
        (["vocab.json"], "tokenizer"),
        (["model.safetensors"], "model.safetensors"),
    ],
)
def test_a_folder_without_a_file_says_which(clip: Path, gone: list[str], said: str) -> None:
    for name in gone:
        (clip / name).unlink()
    with pytest.raises(WeightsError, match=said):
        image_text_source(f"hf:{clip}")


def test_a_model_of_another_kind_is_refused_by_its_name(clip: Path) -> None:
    config = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps(config | {"architectures": ["CLIPForImageClassification"]}))
    with pytest.raises(ConfigError, match=r"CLIPForImageClassification.*expected a model of pictures and texts"):
        image_text_source(f"hf:{clip}")
    (clip / "config.json").write_text("{broken")
    with pytest.raises(ConfigError, match=r"config\.json"):
        image_text_source(f"hf:{clip}")


def test_weights_that_are_damaged_or_incomplete_are_refused(clip: Path) -> None:
    tensors = load_file(clip / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, clip / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 weights.*visual_projection\.weight"):
        image_text_source(f"hf:{clip}").build(Runtime())
    (clip / "model.safetensors").write_bytes(b"not a file")
    with pytest.raises(WeightsError, match="cannot be read"):
        image_text_source(f"hf:{clip}").build(Runtime())


def test_packages_that_are_missing_are_named(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_text_source(f"hf:{folders['clip']}")

    def needs_sentencepiece(*_: object, **__: object) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    with monkeypatch.context() as patch:
        patch.setattr(transformers.AutoTokenizer, "from_pretrained", needs_sentencepiece)
        with pytest.raises(MissingDependency, match="sentencepiece"):
            source.build(Runtime())
    monkeypatch.setitem(sys.modules, "transformers", None)
    for needs_it in (lambda: image_text_source(f"hf:{folders['clip']}"), lambda: source.build(Runtime())):
        with pytest.raises(ExtractorError, match=r"'longform-video\[hf\]'"):
            needs_it()
