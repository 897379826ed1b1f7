"""extractors/detectors/hugging_face.py: equal to transformers used directly, and safe about where files come from.

The networks are tiny and random; what is tested is all that lies around them. No test touches the network.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.detectors.hugging_face import HuggingFaceConfig, build_hugging_face, class_names, model_folder
from extractors.errors import ConfigError, MissingDependency, ShapeError, WeightsError

transformers = pytest.importorskip("transformers")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SMALL = {"shortest_edge": 48, "longest_edge": 96}
LABELS = {0: "cat", 1: "dog", 2: "person"}
WIDTH = 32
DECODER = {"d_model": WIDTH, "decoder_layers": 2, "decoder_ffn_dim": 16, "decoder_attention_heads": 2}
ENCODER = {"encoder_layers": 1, "encoder_ffn_dim": 16, "encoder_attention_heads": 2}
FAMILIES = ("detr", "conditional_detr", "deformable_detr", "yolos", "rt_detr", "d_fine")
SIZES_HW = [(61, 47), (40, 90), (16, 16), (3, 8), (5, 3), (64, 64)]


def resnet(*stages):
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, layer_type="basic", out_features=list(stages)
    )


def _detr():
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone_config=resnet("stage4"), num_queries=6, **DECODER, **ENCODER
    )
    return config, transformers.DetrImageProcessorPil(size=SMALL)


def _conditional_detr():
    config = transformers.ConditionalDetrConfig(
        use_timm_backbone=False, backbone_config=resnet("stage4"), num_queries=6, **DECODER, **ENCODER
    )
    return config, transformers.ConditionalDetrImageProcessorPil(size=SMALL)


def _deformable_detr():
    config = transformers.DeformableDetrConfig(
        use_timm_backbone=False, backbone_config=resnet("stage3", "stage4"), num_queries=6, num_feature_levels=2,
        **DECODER, **ENCODER
    )  # fmt: skip
    return config, transformers.DeformableDetrImageProcessorPil(size=SMALL)


def _yolos():
    config = transformers.YolosConfig(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=[48, 64],
        patch_size=16, num_detection_tokens=6, use_mid_position_embeddings=False,
    )  # fmt: skip
    return config, transformers.YolosImageProcessorPil(size=SMALL)


def _rt_detr(kind="RTDetr"):
    body = transformers.RTDetrResNetConfig if kind == "RTDetr" else transformers.HGNetV2Config
    widths = {"embedding_size": 8} if kind == "RTDetr" else {
        "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 8, 16], "stage_mid_channels": [4, 4, 8, 8],
        "stage_out_channels": [8, 8, 16, 16], "stage_num_blocks": [1] * 4, "stage_numb_of_layers": [1] * 4,
    }  # fmt: skip
    backbone = body(
        **widths, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"]
    )  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(
        backbone_config=backbone, encoder_hidden_dim=WIDTH, encoder_in_channels=[8, 16, 16], feat_strides=[8, 16, 32],
        encoder_ffn_dim=16, encoder_attention_heads=2, decoder_in_channels=[WIDTH] * 3, num_queries=6, num_denoising=0,
        decoder_n_points=2, hidden_expansion=0.5, **DECODER
    )  # fmt: skip
    return config, transformers.RTDetrImageProcessorPil(size={"height": 64, "width": 64})


def _d_fine():
    return _rt_detr("DFine")


def save(folder: Path, family: str, labels=None, seed: int = 0) -> Path:
    """A tiny random detector of a family, as save_pretrained writes it."""
    torch.manual_seed(seed)
    config, processor = globals()[f"_{family}"]()
    config.id2label = labels or LABELS
    model = transformers.AutoModelForObjectDetection.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.split(".")[-2] not in ("normalization", "layernorm") and weight.dim() > 1:
                weight.mul_(3)  # so that queries differ
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("detectors")
    return {family: save(root / family, family) for family in FAMILIES}


@pytest.fixture
def detr(folders, tmp_path):
    """A copy of the DETR that a test may spoil."""
    return Path(shutil.copytree(folders["detr"], tmp_path / "detr"))


def picture(height: int, width: int, seed: int = 1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def expected(folder: Path, frame, threshold: float):
    """Boxes in pixels, scores and labels as transformers computes them when it is used directly."""
    model = transformers.AutoModelForObjectDetection.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.no_grad():
        outputs = model(**processor(images=frame, return_tensors="pt", input_data_format="channels_last"))
    found = processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=[frame.shape[:2]])[0]
    order = torch.argsort(found["scores"], descending=True, stable=True)
    return {name: values[order].numpy() for name, values in found.items()}, outputs


@pytest.mark.parametrize("size_hw", SIZES_HW, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_transformers_used_directly(folders, family, size_hw):
    frame = picture(*size_hw)
    detector = build_hugging_face(str(folders[family]), score_threshold=0.01, max_detections=1000)
    found = detector.detect(frame)
    theirs, _ = expected(folders[family], frame, 0.01)
    boxes = np.clip(theirs["boxes"] / [size_hw[1], size_hw[0], size_hw[1], size_hw[0]], 0, 1)
    inside = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
    assert inside.sum() > 2
    assert len(found) == inside.sum()
    np.testing.assert_allclose(found.boxes, boxes[inside], atol=1e-5)
    np.testing.assert_allclose(found.scores, theirs["scores"][inside], atol=1e-5)
    assert found.classes.tolist() == theirs["labels"][inside].tolist()
    assert found.class_names == ("cat", "dog", "person")


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_the_states_from_which_the_class_was_read(folders, family):
    """The family's own class layer, over the features, must give the scores back."""
    frame = picture(48, 64)
    detector = build_hugging_face(str(folders[family]), score_threshold=0.01)
    found = detector.detect(frame)
    assert found.features is not None
    assert found.features.shape == (len(found), WIDTH)
    network = detector._model
    if family in ("rt_detr", "d_fine"):
        head = network.model.decoder.class_embed
    else:
        head = network.class_embed if family == "deformable_detr" else network.class_labels_classifier
    head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    logits = head(torch.from_numpy(found.features))
    scores = logits.softmax(-1) if family in ("detr", "yolos") else logits.sigmoid()
    own = scores[torch.arange(len(found)), torch.from_numpy(found.classes).long()]
    np.testing.assert_allclose(own.detach().numpy(), found.scores, atol=1e-5)


def test_a_batch_gives_what_single_frames_give_in_their_order(folders):
    detector = build_hugging_face(str(folders["detr"]), score_threshold=0.01)
    frames = [picture(48, 64, 1), picture(64, 48, 2), picture(48, 64, 3)]
    assert detector.detect_batch([]) == []
    for alone, together in zip(map(detector.detect, frames), detector.detect_batch(frames), strict=True):
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-5)
        np.testing.assert_allclose(together.features, alone.features, atol=1e-4)


def test_threshold_and_limit(folders):
    frame, folder = picture(48, 64), str(folders["rt_detr"])
    everything = build_hugging_face(folder, score_threshold=0.0, max_detections=1000).detect(frame)
    assert (np.diff(everything.scores) <= 0).all()
    limited = build_hugging_face(folder, score_threshold=0.0, max_detections=2).detect(frame)
    np.testing.assert_array_equal(limited.boxes, everything.boxes[:2])
    middle = float(everything.scores[2])
    above = build_hugging_face(folder, score_threshold=middle).detect(frame)
    assert len(above) == (everything.scores > np.float32(middle)).sum()
    nothing = build_hugging_face(folder, score_threshold=0.9999).detect(frame)
    assert len(nothing) == 0
    assert nothing.features is not None
    assert nothing.features.shape == (0, WIDTH)


def test_bfloat16_is_close_to_float32(folders):
    frame, folder = picture(48, 64), str(folders["yolos"])
    reference = build_hugging_face(folder, score_threshold=0.0).detect(frame)
    bf16 = build_hugging_face(folder, score_threshold=0.0, precision="bf16").detect(frame)
    assert bf16.boxes.dtype == np.float32
    assert bf16.scores[0] == pytest.approx(reference.scores[0], abs=0.05)


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), picture(0, 4)])
def test_a_frame_that_is_none(folders, frame):
    with pytest.raises(ShapeError, match="expected \\(H, W, 3\\) uint8"):
        build_hugging_face(str(folders["detr"])).detect(frame)


def test_a_frame_too_narrow_for_a_grid_of_patches(folders):
    with pytest.raises(ShapeError, match="cannot scale a frame of 3x50"):
        build_hugging_face(str(folders["yolos"])).detect(picture(3, 50))
    build_hugging_face(str(folders["detr"])).detect(picture(3, 50))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependency, match=r"longform-video\[hf\]"):
        build_hugging_face("someone/tiny-detr")


def test_holes_in_the_labels_are_filled():
    config = transformers.DetrConfig(id2label={0: "cat", 3: "dog"}, use_timm_backbone=False)
    assert class_names(config) == ("cat", "class 1", "class 2", "dog")


@pytest.mark.parametrize(
    ("setting", "rule"), [({"score_threshold": 1.0}, "in \\[0, 1\\)"), ({"max_detections": 0}, "at least 1")]
)
def test_settings_out_of_range(setting, rule):
    with pytest.raises(ConfigError, match=rule):
        HuggingFaceConfig(**setting)


def test_weights_that_the_file_lacks_are_named(detr):
    from safetensors.torch import load_file, save_file

    weights = load_file(detr / "model.safetensors")
    left = {name: weight for name, weight in weights.items() if not name.startswith("class_labels_classifier")}
    save_file(left, detr / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 2 weights .*class_labels_classifier\.bias"):
        build_hugging_face(str(detr))


def test_weights_of_another_width(detr):
    settings = json.loads((detr / "config.json").read_text())
    (detr / "config.json").write_text(json.dumps({**settings, "num_queries": 7}))
    with pytest.raises(WeightsError, match="cannot be read"):
        build_hugging_face(str(detr))


def test_a_damaged_file(detr):
    (detr / "model.safetensors").write_bytes((detr / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        build_hugging_face(str(detr))


def pickled(folder: Path, payload) -> Path:
    (folder / "model.safetensors").unlink()
    torch.save(payload, folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_only_by_the_users_word(detr):
    from safetensors.torch import load_file

    before = build_hugging_face(str(detr), score_threshold=0.0).detect(picture(48, 64))
    pickled(detr, load_file(detr / "model.safetensors"))
    with pytest.raises(WeightsError, match="allow_pickle=True"):
        build_hugging_face(str(detr))
    after = build_hugging_face(str(detr), score_threshold=0.0, allow_pickle=True).detect(picture(48, 64))
    np.testing.assert_array_equal(after.boxes, before.boxes)


class Hostile:
    """A pickle that would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "run")


def test_a_pickle_that_would_run_code_is_refused(detr, tmp_path):
    pickled(detr, {"weight": Hostile(tmp_path / "written")})
    with pytest.raises(WeightsError, match="asks for more than tensors"):
        build_hugging_face(str(detr), allow_pickle=True)
    assert not (tmp_path / "written").exists()


def test_code_in_a_folder_is_never_run(detr, tmp_path):
    settings = json.loads((detr / "config.json").read_text())
    settings |= {"model_type": "their_own", "auto_map": {"AutoConfig": "theirs.Config"}}
    (detr / "config.json").write_text(json.dumps(settings))
    (detr / "theirs.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')\n")
    with pytest.raises(ConfigError, match="cannot be used"):
        build_hugging_face(str(detr))
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("architecture", ["DetrForSegmentation", "MaskFormerForInstanceSegmentation"])
def test_networks_for_masks_are_no_box_detectors(detr, architecture):
    settings = json.loads((detr / "config.json").read_text())
    (detr / "config.json").write_text(json.dumps({**settings, "architectures": [architecture]}))
    with pytest.raises(ConfigError, match=f"not a box detector but '{architecture}'"):
        build_hugging_face(str(detr))


def test_a_classifier_is_no_box_detector(tmp_path):
    transformers.ViTConfig(hidden_size=8, num_hidden_layers=1).save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a box detector but 'vit'"):
        build_hugging_face(str(tmp_path))


def test_a_backbone_that_needs_timm_says_how_to_do_without(detr):
    settings = json.loads((detr / "config.json").read_text())
    settings.pop("backbone_config")
    (detr / "config.json").write_text(json.dumps({**settings, "use_timm_backbone": True, "backbone": "resnet50"}))
    with pytest.raises(MissingDependency, match=r"timm.*revision='no_timm'"):
        build_hugging_face(str(detr))


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file(detr, name):
    (detr / name).unlink()
    with pytest.raises(WeightsError, match=f"has no {name}"):
        build_hugging_face(str(detr))


def test_a_folder_has_no_revisions(detr):
    with pytest.raises(ConfigError, match="no revision 'v1'"):
        build_hugging_face(str(detr), revision="v1")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch, folders):
    """A cache of huggingface_hub with one repository in it, and no way to the Hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--someone--tiny-detr"
    shutil.copytree(folders["detr"], repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_repository_in_the_cache_needs_no_connection(cache, folders, revision):
    found = build_hugging_face("someone/tiny-detr", revision=revision, score_threshold=0.0).detect(picture(48, 64))
    same = build_hugging_face(str(folders["detr"]), score_threshold=0.0).detect(picture(48, 64))
    np.testing.assert_array_equal(found.boxes, same.boxes)


@pytest.mark.parametrize(("repo", "revision"), [("someone/other", None), ("someone/tiny-detr", "v2")])
def test_out_of_reach_says_what_to_do_by_hand(cache, repo, revision):
    with pytest.raises(WeightsError) as caught:
        build_hugging_face(repo, revision=revision)
    message = str(caught.value)
    assert f"`hf download {repo}{' --revision v2' if revision else ''} --local-dir FOLDER`" in message
    assert "HF_HOME" in message


def test_an_incomplete_cache_is_completed_or_said(cache):
    (cache / "models--someone--tiny-detr" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="hf download someone/tiny-detr"):
        model_folder("someone/tiny-detr")


def test_what_is_not_in_the_cache_is_downloaded_without_code_and_pickles(cache, folders, monkeypatch):
    import huggingface_hub

    asked = []

    def download(repo, *, revision, allow_patterns, local_files_only=False):
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not here")
        asked.append((repo, revision, allow_patterns))
        return str(folders["detr"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert model_folder("someone/other", revision="abc") == folders["detr"]
    [(repo, revision, patterns)] = asked
    assert (repo, revision) == ("someone/other", "abc")
    assert not [pattern for pattern in patterns if not pattern.endswith((".json", ".safetensors"))]


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such/folder", "./nothing-here"])
def test_neither_folder_nor_repository(cache, name):
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        build_hugging_face(name)
