"""Weights go into a network exactly, or not at all, with everything that does not fit in one message."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extractors.backbones.catalog import build_backbone
from extractors.errors import ConfigError, WeightsError
from extractors.weights import load_weights, save_weights
from extractors.weights.hashes import sha256_of
from extractors.weights.layouts import Layout, State
from extractors.weights.misfit import MisfitError


class Unit(nn.Module):
    def __init__(self, channels: int, kernel_t: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (kernel_t, 3, 3), bias=False)
        self.bn = nn.BatchNorm3d(channels)


class Small(nn.Module):
    """A network with the names of ours."""

    def __init__(self, num_classes: int = 4, kernel_t: int = 3) -> None:
        super().__init__()
        self.slow = nn.ModuleDict({"stem": Unit(8, kernel_t)})
        self.head = nn.ModuleDict({"fc": nn.Linear(8, num_classes)})


def _convert(tensors: Mapping[str, Tensor]) -> State:
    return {name.removeprefix("theirs/").replace("/", "."): tensor for name, tensor in tensors.items()}


TOY = Layout(name="toy", recognises=lambda tensors: any(name.startswith("theirs/") for name in tensors),
             convert=_convert)  # fmt: skip


@pytest.fixture(autouse=True)
def _toy_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extractors.weights.load.layouts", lambda: (TOY,))


def theirs(model: nn.Module, **changes: Tensor | None) -> dict[str, Tensor]:
    """Their file for a network; changes by our name with `_` for `.`, None to leave it out."""
    state = {name: torch.randn_like(tensor.float()) for name, tensor in model.state_dict().items()}
    state = {name: changes.get(name.replace(".", "_"), tensor) for name, tensor in state.items()}
    return {"theirs/" + name.replace(".", "/"): tensor for name, tensor in state.items() if tensor is not None}


def saved(tensors: Mapping[str, Tensor], path: Path) -> Path:
    torch.save({"model_state": dict(tensors), "epoch": 1}, path)
    return path


def test_a_file_is_loaded_exactly_and_reported(tmp_path: Path) -> None:
    model = Small()
    tensors = theirs(model)
    report = load_weights(model, saved(tensors, tmp_path / "a.pyth"))
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, tensors["theirs/" + name.replace(".", "/")], rtol=0, atol=0)
    assert (report.layout, report.container, report.num_loaded) == ("toy", "torch-zip", 7)
    assert report.sha256 == sha256_of(tmp_path / "a.pyth")
    assert (report.missing, report.unexpected, report.skipped) == ((), (), ())
    assert report.facts == {"epoch": 1}


def test_everything_that_does_not_fit_is_in_one_message(tmp_path: Path) -> None:
    model = Small()
    tensors = theirs(model, slow_stem_bn_bias=None, slow_stem_bn_running_var=None, head_fc_weight=torch.zeros(6, 8))
    tensors["theirs/slow/extra"] = torch.zeros(2, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(MisfitError) as caught:
        load_weights(model, saved(tensors, tmp_path / "a.pyth"))
    message = str(caught.value)
    assert "2 missing, 1 unexpected, 1 mis-shaped" in message
    for part in ("a.pyth", "toy", "slow.stem.bn.bias (8)", "slow.stem.bn.running_var (8)", "slow.extra (2x3)",
                 "head.fc.weight (6x8 for 4x8)", "num_classes=6", "classifier='skip'"):  # fmt: skip
        assert part in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message  # noqa: S301 (workers send errors as pickles)
    assert caught.value.misfit.missing == ["slow.stem.bn.bias", "slow.stem.bn.running_var"]
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_hundreds_of_names_do_not_flood_the_message_and_are_all_in_the_error(tmp_path: Path) -> None:
    tensors = {**theirs(Small()), **{f"theirs/more/{i}": torch.zeros(1) for i in range(300)}}
    with pytest.raises(MisfitError, match="and 200 more") as caught:
        load_weights(Small(), saved(tensors, tmp_path / "a.pyth"))
    assert len(caught.value.misfit.unexpected) == 300


def test_not_strict_loads_what_fits_but_no_wrong_shapes(tmp_path: Path) -> None:
    model = Small()
    tensors = theirs(model, slow_stem_bn_bias=None)
    report = load_weights(model, saved({**tensors, "theirs/x": torch.zeros(1)}, tmp_path / "a"), strict=False)
    assert (report.missing, report.unexpected, report.num_loaded) == (("slow.stem.bn.bias",), ("x",), 6)
    with pytest.raises(MisfitError, match="2 mis-shaped"):
        load_weights(Small(num_classes=5), tmp_path / "a", strict=False)


def test_the_classifier_can_be_left_for_other_classes(tmp_path: Path) -> None:
    model = Small(num_classes=9)
    before = model.state_dict()["head.fc.weight"].clone()
    report = load_weights(model, saved(theirs(Small()), tmp_path / "a"), classifier="skip")
    assert report.skipped == ("head.fc.bias", "head.fc.weight")
    torch.testing.assert_close(model.state_dict()["head.fc.weight"], before, rtol=0, atol=0)
    with pytest.raises(ConfigError, match="classifier is 'drop'"):
        load_weights(model, tmp_path / "a", classifier="drop")  # type: ignore[arg-type]


def test_trailing_ones_are_no_difference(tmp_path: Path) -> None:
    model, weight = Small(), torch.randn(4, 8)
    load_weights(model, saved(theirs(model, head_fc_weight=weight[..., None, None, None]), tmp_path / "a"))
    torch.testing.assert_close(model.state_dict()["head.fc.weight"], weight, rtol=0, atol=0)


def test_kernels_of_an_image_network_are_repeated_in_time_and_divided(tmp_path: Path) -> None:
    model, kernel = Small(), torch.randn(8, 3, 3, 3)
    load_weights(model, saved(theirs(model, slow_stem_conv_weight=kernel), tmp_path / "a"))
    inflated = model.state_dict()["slow.stem.conv.weight"]
    torch.testing.assert_close(inflated.sum(2), kernel)
    torch.testing.assert_close(inflated[:, :, 0], kernel / 3)


def test_a_flat_kernel_among_those_of_a_video_network_is_mis_shaped(tmp_path: Path) -> None:
    tensors = theirs(Small(), slow_stem_conv_weight=torch.randn(8, 3, 3, 3))
    tensors["theirs/slow/other"] = torch.zeros(2, 2, 3, 1, 1)
    with pytest.raises(MisfitError, match=r"slow.stem.conv.weight \(8x3x3x3 for 8x3x3x3x3\)"):
        load_weights(Small(), saved(tensors, tmp_path / "a"))


def test_values_take_the_type_of_the_network(tmp_path: Path) -> None:
    model = Small().double()
    half = {name: tensor.half() for name, tensor in theirs(model).items()}
    load_weights(model, saved(half, tmp_path / "a"))
    assert model.state_dict()["slow.stem.conv.weight"].dtype == torch.float64


def test_names_of_nobody_are_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"names that we do not know, such as blah.*toy"):
        load_weights(Small(), saved({"blah": torch.zeros(1)}, tmp_path / "a"))


@pytest.mark.parametrize("prefix", ["module.", "model.module.", "backbone."])
@pytest.mark.parametrize("of", ["ours", "theirs"])
def test_what_all_names_begin_with_is_left_out(prefix: str, of: str, tmp_path: Path) -> None:
    model = Small()
    state = theirs(model) if of == "theirs" else {name: torch.rand(t.shape) for name, t in model.state_dict().items()}
    report = load_weights(model, saved({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "w"))
    assert report.layout == ("toy" if of == "theirs" else "longform")
    given = state["theirs/head/fc/weight" if of == "theirs" else "head.fc.weight"]
    assert torch.equal(model.get_parameter("head.fc.weight"), given)


def test_own_files_come_back_exactly_and_say_what_they_are(tmp_path: Path) -> None:
    model, other = Small(), Small()
    save_weights(model, tmp_path / "own.safetensors", name="small", options={"num_classes": 4})
    report = load_weights(other, tmp_path / "own.safetensors")
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=0)
    assert (report.layout, report.container) == ("longform", "safetensors")
    assert (report.facts["model"], report.facts["options"]) == ("small", '{"num_classes": 4}')


def test_an_own_file_of_another_network_is_a_misfit_not_an_unknown_file(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "own", name="linear")
    with pytest.raises(MisfitError, match="2 unexpected"):
        load_weights(Small(), tmp_path / "own")


TINY = {"width": 8, "num_classes": 3}


@pytest.mark.parametrize(
    ("file_of", "network", "hint"),
    [
        (("slowfast_8x8_r50", {}), ("slowfast_8x8_r50", {"lateral_kernel": 5}), "lateral_kernel=7"),
        (("slowfast_4x16_r50", {}), ("slow_4x16_r50", {}), "the file has a Fast pathway"),
        (("slow_8x8_r50", {}), ("slowfast_8x8_r50", {}), "the file has no Fast pathway"),
        (("i3d_r50", {}), ("i3d_nl_r50", {}), "the file has no non-local blocks"),
        (("i3d_nl_r50", {}), ("i3d_r50", {}), "the file has non-local blocks"),
        (("i3d_r101", {}), ("i3d_r50", {}), "it is of an R101"),
        (("i3d_r50", {}), ("i3d_r101", {}), "it is of an R50"),
        (("slowfast_8x8_r101_101_101", {}), ("slowfast_8x8_r101", {}), "use slowfast_8x8_r101_101_101"),
        (("slowfast_8x8_r101_50_101", {}), ("slowfast_8x8_r101", {}), "use slowfast_8x8_r101_50_101"),
        (("slowfast_8x8_r101", {}), ("slowfast_8x8_r101_101_101", {}), "use slowfast_8x8_r101"),
        (("i3d_nl_r101", {}), ("i3d_nl_r101", {"nonlocal_blocks": 0, "nonlocal_at": {3: (1, 3), 4: (1, 3, 5)}}),
         "nonlocal_at="),
        (("i3d_r50", {"num_classes": 5}), ("i3d_r50", {}), "num_classes=5"),
    ],
)  # fmt: skip
def test_hints_name_the_way_out(
    file_of: tuple[str, dict], network: tuple[str, dict], hint: str, tmp_path: Path
) -> None:
    save_weights(build_backbone(file_of[0], **{**TINY, **file_of[1]}), tmp_path / "own", name=file_of[0])
    with pytest.raises(MisfitError, match=hint):
        load_weights(build_backbone(network[0], **{**TINY, **network[1]}), tmp_path / "own")


def test_a_caffe2_pickle_goes_through_the_same_way(tmp_path: Path) -> None:
    model = Small()
    blobs = {name: tensor.numpy() for name, tensor in theirs(model).items()}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"blobs": {**blobs, "lr": np.float32(0.1)}}, 2))
    report = load_weights(model, tmp_path / "a.pkl")
    assert (report.container, report.num_loaded) == ("caffe2", 7)
