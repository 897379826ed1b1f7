"""Builds the originals, each with the way to run it and the files that its weights are published in."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.originals import files
from benchmarks.originals.importing import module_at

Writer = Callable[[files.State, Path], None]


@dataclass(frozen=True, kw_only=True)
class Original:
    """A network of another code base, in eval mode."""

    network: nn.Module
    classifier: nn.Module
    """Its input is the embedding and its output the logits, at every position."""
    run: Callable[[Tensor, Tensor | None], Tensor]
    """Its answer for a clip (N, C, T, H, W) at the fast rate, and boxes (R, 5) where it takes them."""
    gives: str
    """What the answer is: `probabilities` or `logits`."""
    write: Mapping[str, Writer]
    """Container -> how the state of `network` is written in it."""
    finish: Callable[[nn.Module], None] = lambda network: None
    """What is done to the weights before they are written."""


def two_rates(clip: Tensor, alpha: int) -> list[Tensor]:
    """What SlowFast's `pack_pathway_output` makes of a clip: the Slow pathway's frames, and all."""
    index = torch.linspace(0, clip.shape[2] - 1, clip.shape[2] // alpha).long()
    return [clip.index_select(2, index), clip]


def slowfast(
    repositories: Path,
    config: str,
    crop_px: int,
    overrides: Sequence[Any] = (),
    change: Callable[[nn.Module], None] = lambda network: None,
    affine: bool = False,
    nonlocal_norms: bool = True,
) -> Original:
    """A network of facebookresearch/SlowFast.

    Args:
        config: YAML file below its `configs`.
        crop_px: side of the picture that one window of the head covers.
        overrides: keys and values in turn, over those of the file.
        change: made to the network once it is built.
        affine, nonlocal_norms: whether its files have scale and shift only, and whether non-local blocks have any.
    """
    importlib.import_module("slowfast.models")
    registry = importlib.import_module("slowfast.models.build").MODEL_REGISTRY
    cfg = importlib.import_module("slowfast.config.defaults").get_cfg()
    cfg.merge_from_file(str(repositories / "SlowFast/configs" / config))
    cfg.merge_from_list(["NUM_GPUS", 0, "BN.NORM_TYPE", "batchnorm", "DATA.TRAIN_CROP_SIZE", crop_px, *overrides])
    network = registry.get(cfg.MODEL.MODEL_NAME)(cfg).eval()
    change(network)
    alpha = cfg.SLOWFAST.ALPHA if cfg.MODEL.ARCH == "slowfast" else None

    def run(clip: Tensor, boxes: Tensor | None) -> Tensor:
        inputs = two_rates(clip, alpha) if alpha else [clip]
        answer: Tensor = network(inputs) if boxes is None else network(inputs, boxes)
        return answer

    by_pytorchvideo = cfg.MODEL.MODEL_NAME.startswith("PTV")
    if by_pytorchvideo:
        write: dict[str, Writer] = {
            "pytorchvideo": _without_prefix,
            "pytorchvideo of SlowFast": files.write_model_state,
        }
    elif affine:
        write = {"caffe2": partial(files.write_caffe2, affine=True)}
    else:
        write = {"pyslowfast": files.write_pyslowfast, "caffe2": files.write_caffe2}
    return Original(
        network=network,
        classifier=network.model.blocks[-1].proj if by_pytorchvideo else network.head.projection,
        run=run,
        gives="probabilities",
        write=write,
        finish=partial(files.freeze_norms, nonlocal_norms=nonlocal_norms) if affine else lambda network: None,
    )


def _without_prefix(state: files.State, path: Path) -> None:
    files.write_model_state({name.removeprefix("model."): tensor for name, tensor in state.items()}, path)


def pytorchvideo(repositories: Path, entry: str) -> Original:
    """A hub entry of facebookresearch/pytorchvideo, such as `slowfast.slowfast_r50`."""
    module, name = entry.split(".")
    network = getattr(importlib.import_module(f"pytorchvideo.models.hub.{module}"), name)().eval()
    detects = name.endswith("_detection")

    def run(clip: Tensor, boxes: Tensor | None) -> Tensor:
        inputs: Any = two_rates(clip, 4) if module == "slowfast" else clip
        answer: Tensor = network(inputs) if boxes is None else network(inputs, boxes)
        return answer

    return Original(
        network=network,
        classifier=(network.detection_head if detects else network.blocks[-1]).proj,
        run=run,
        gives="probabilities" if detects else "logits",
        write={"pytorchvideo": files.write_model_state},
    )


def mmaction2(repositories: Path, config: str) -> Original:
    """Backbone and head of a recognizer of open-mmlab/mmaction2.

    Args:
        config: file below its `configs/recognition`.
    """
    importlib.import_module("mmaction.models")
    settings = importlib.import_module("mmengine").Config.fromfile(
        repositories / "mmaction2/configs/recognition" / config
    )
    registry = importlib.import_module("mmaction.registry").MODELS
    parts = {"backbone": {**settings.model.backbone, "pretrained": None}, "cls_head": settings.model.cls_head}
    network = nn.ModuleDict({name: registry.build(part) for name, part in parts.items()}).eval()
    return Original(
        network=network,
        classifier=network["cls_head"].get_submodule("fc_cls"),
        run=lambda clip, boxes: network["cls_head"](network["backbone"](clip)),
        gives="logits",
        write={"mmaction2": files.write_mmaction2},
    )


def pytorch_i3d(repositories: Path, num_classes: int, channels: int) -> Original:
    """piergiaj/pytorch-i3d. Its answer has logits for every time; ours is their mean."""
    network = module_at(repositories / "pytorch-i3d/pytorch_i3d.py").InceptionI3d(num_classes, in_channels=channels)
    return _clips_only(network.eval(), network.logits.conv3d, {"torch": files.write_prefixed("")})


def kylemin_s3d(repositories: Path) -> Original:
    """kylemin/S3D."""
    network = module_at(repositories / "S3D/model.py").S3D(400)
    return _clips_only(network.eval(), network.fc[0], {"torch": files.write_prefixed("module.")})


def torchvision_s3d(repositories: Path) -> Original:
    """torchvision's `s3d`, as installed."""
    network = importlib.import_module("torchvision.models.video").s3d()
    return _clips_only(network.eval(), network.classifier[1], {"torch": files.write_prefixed("")})


def _clips_only(network: nn.Module, classifier: nn.Module, write: Mapping[str, Writer]) -> Original:
    def run(clip: Tensor, boxes: Tensor | None) -> Tensor:
        answer: Tensor = network(clip)
        return answer.flatten(2).mean(2) if answer.dim() > 2 else answer

    return Original(network=network, classifier=classifier, run=run, gives="logits", write=write)
