"""Files of the released code's format load completely, and the model then computes what the released code computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from extractors.backbones.catalog import build_backbone
from extractors.errors import ConfigError, WeightsError
from extractors.weights import load_weights, save_weights
from extractors.weights.cards import CARDS
from extractors.weights.misfit import MisfitError
from longform.lfb.model import LFBConfig, LFBModel, ShortTerm, load_backbone
from longform.lfb.released import released_config, released_models
from tests.longform.lfb.lfb_in_numpy import fbo_nl
from tests.longform.lfb.released_files import ReleasedNetwork, blob_shapes, named_blobs, random_blobs, write

WIDTH, LATENT, SLOTS = 4, 16, 9
DIM = 32 * WIDTH
CLIPS = torch.tensor([1, 0, 1])


def small(task: str = "ava", operator: str = "nl", **options: Any) -> LFBModel:
    """A model of the released layout, small in width only."""
    return LFBModel(
        LFBConfig(task=task, operator=operator, bank_dim=DIM, **{**small_options(operator), **options})
    ).eval()


def small_options(operator: str) -> dict[str, Any]:
    reduced = {"operator_options": {"latent_dim": LATENT}} if operator == "nl" else {}
    return {"backbone_options": {"width": WIDTH}, **reduced}


def clips() -> Tensor:
    return torch.randn(2, 3, 16, 64, 64, generator=torch.Generator().manual_seed(1))


def boxes() -> Tensor:
    corners = torch.tensor([[3.0, 5.0, 40.0, 60.0], [0.0, 0.0, 64.0, 64.0], [30.0, 20.0, 50.0, 44.0]])
    return torch.cat([CLIPS[:, None].float(), corners], 1)


def bank() -> Tensor:
    features = torch.rand(2, SLOTS, DIM, generator=torch.Generator().manual_seed(2))
    features[1, 6:] = 0
    return features


@pytest.mark.parametrize(("task", "classes", "layers", "dilation"), [
    ("ava", 80, 2, 2), ("ava", 80, 3, 2), ("epic-verb", 125, 2, 1), ("charades", 157, 2, 2),
])  # fmt: skip
def test_a_model_with_fbo_nl_gives_the_released_network_s_logits(
    task: str, classes: int, layers: int, dilation: int, tmp_path: Path
) -> None:
    blobs = random_blobs(blob_shapes(WIDTH, classes, boxes=task == "ava", layers=layers, latent=LATENT))
    model = small(task, operator_options={"latent_dim": LATENT, "num_layers": layers})
    report = load_weights(model, write(blobs, tmp_path / "model_final.pkl"))
    assert (report.layout, report.missing, report.unexpected, report.skipped) == ("caffe2", (), (), ())
    with torch.inference_mode():
        found = model(clips(), bank(), boxes_px=boxes() if task == "ava" else None).numpy()
        network = ReleasedNetwork(blobs, dilation)
        short = (network.boxes(clips(), boxes()) if task == "ava" else network.clips(clips())).double().numpy()
    windows = bank()[CLIPS if task == "ava" else torch.arange(2)].double().numpy()
    operator = dict(named_blobs(blobs)) | {n: b.astype(np.float64) for n, b in blobs.items() if n.endswith("_b")}
    operator["reduc_b"] = next(blob for name, blob in blobs.items() if name.endswith("reduc_b")).astype(np.float64)
    attended = [
        fbo_nl(feature, window, operator, num_layers=layers, pre_activation=task != "charades")
        for feature, window in zip(short, windows, strict=True)
    ]
    expected = np.concatenate([short, attended], 1) @ blobs["pred_w"].T + blobs["pred_b"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("operator", ["avg", "max", "none"])
def test_a_model_without_fbo_nl_gives_the_released_network_s_logits(operator: str, tmp_path: Path) -> None:
    blobs = random_blobs(blob_shapes(WIDTH, 80, pooled=operator != "none"))
    model = small(operator=operator)
    load_weights(model, write(blobs, tmp_path / "model_final.pkl"))
    with torch.inference_mode():
        found = model(clips(), None if operator == "none" else bank(), boxes_px=boxes()).numpy()
        short = ReleasedNetwork(blobs, 2).boxes(clips(), boxes()).numpy()
    windows = bank()[CLIPS].numpy()
    pooled = {"avg": [windows.sum(1) / SLOTS], "max": [windows.max(1)], "none": []}[operator]
    expected = np.concatenate([short, *pooled], 1) @ blobs["pred_w"].T + blobs["pred_b"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_what_does_not_fit_is_named_and_changes_nothing(tmp_path: Path) -> None:
    blobs = random_blobs(blob_shapes(WIDTH, 80, layers=3, latent=LATENT))
    path = write(blobs, tmp_path / "model_final.pkl")
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(MisfitError) as raised:
        load_weights(model, path)
    assert not raised.value.misfit.missing
    leaves = [f"lfb.layers.2.{leaf}.{kind}" for leaf in ("theta", "phi", "g", "out") for kind in ("weight", "bias")]
    assert sorted(raised.value.misfit.unexpected) == sorted(leaves)
    with pytest.raises(MisfitError, match=r"head\.fc\.weight"):
        load_weights(small(operator="avg"), path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_our_own_files_are_read_back(tmp_path: Path) -> None:
    saved, loaded = small(), small()
    save_weights(saved, tmp_path / "best.safetensors", name="lfb", options={"task": "ava"})
    assert load_weights(loaded, tmp_path / "best.safetensors").layout == "longform"
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in saved.state_dict().items())


@pytest.mark.parametrize("kind", ["kinetics", "baseline", "with a bank", "ours, a network", "ours, a model"])
def test_training_starts_from_any_file_of_the_short_term_network(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "start"
    if kind == "ours, a network":
        network = build_backbone("lfb_i3d_nl_r50", width=WIDTH)
        save_weights(network, path, name="lfb_i3d_nl_r50")
        expected = network.state_dict()["slow.res4.0.a.conv.weight"]
    elif kind == "ours, a model":
        other = small(operator="none")
        save_weights(other, path, name="lfb")
        expected = other.state_dict()["backbone.slow.res4.0.a.conv.weight"]
    else:
        classes = 400 if kind == "kinetics" else 80
        blobs = random_blobs(blob_shapes(WIDTH, classes, layers=2 * (kind == "with a bank"), latent=LATENT))
        write(blobs, path)
        expected = torch.from_numpy(blobs["res4_0_branch2a_w"])
    model = small()
    before = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    load_backbone(model, path)
    assert torch.equal(model.state_dict()["backbone.slow.res4.0.a.conv.weight"], expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.head.state_dict().items())


def test_a_start_from_another_network_is_refused(tmp_path: Path) -> None:
    network = build_backbone("i3d_r50", width=WIDTH)
    save_weights(network, tmp_path / "i3d.safetensors", name="i3d_r50")
    with pytest.raises(WeightsError, match=r"i3d\.safetensors .* not of the backbone 'lfb_i3d_nl_r50'.*\.nl\."):
        load_backbone(small(), tmp_path / "i3d.safetensors")


def test_every_released_model_has_the_layers_of_the_sheet() -> None:
    names = released_models()
    assert len(names) == len(
        [name for name in CARDS if name.endswith("_lfb") and "k400" not in name and "rcnn" not in name]
    )
    for name in names:
        config, card = released_config(name), CARDS[name]
        with torch.device("meta"):
            model = LFBModel(config)
        added = {"none": 0, "avg": 2048, "max": 2048, "nl": 512}[config.operator]
        assert tuple(model.head.fc.weight.shape) == (card.num_classes, 2048 + added), name
        assert model.backbone is not None
        with torch.device("meta"):
            alone = build_backbone(card.model, **card.options).state_dict()
        body = {
            key.removeprefix("backbone."): value for key, value in model.state_dict().items() if key[:8] == "backbone"
        }
        assert {key: value.shape for key, value in alone.items() if "head" not in key} == {
            key: value.shape for key, value in body.items()
        }
        assert (
            card.options.get("activation", "sigmoid" if config.task == "ava" else "softmax") == config.facts.activation
        )
        dilated = model.backbone.get_submodule("slow.res5.0.b.conv")
        assert dilated.dilation == (1, card.options["res5_dilation"], card.options["res5_dilation"])


def test_released_models_differ_as_their_names_say() -> None:
    assert released_config("r101_ava_nl_3l_lfb").operator_options == {"num_layers": 3}
    assert released_config("r50_ava_nl_3l_bank_lfb").operator == "none"
    assert released_config("r50_charades_nl_lfb").facts.pre_activation is False
    assert released_config("r50_nouns_max_lfb").classes == 352
    with pytest.raises(ConfigError, match="r50_ava_baseline_lfb"):
        released_config("r50_ava_lfb")


def test_features_that_are_given_need_no_backbone(tmp_path: Path) -> None:
    """Operator and classifier of a released file, over features of a bank."""
    config = LFBConfig(backbone=None, feature_dim=DIM, bank_dim=DIM, operator_options={"latent_dim": LATENT})
    model, whole = LFBModel(config).eval(), small()
    path = write(random_blobs(blob_shapes(WIDTH, 80, layers=2, latent=LATENT)), tmp_path / "model_final.pkl")
    load_weights(whole, path)
    assert all(name.startswith("backbone.") for name in load_weights(model, path, strict=False).unexpected)
    short = ShortTerm(torch.rand(3, DIM), CLIPS)
    with torch.inference_mode():
        torch.testing.assert_close(model.relate(short, bank()), whole.relate(short, bank()))
