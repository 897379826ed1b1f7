"""THE list of clip backbones: name -> family and settings. Nothing heavy is imported before one is built."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from extractors.errors import ConfigError

if TYPE_CHECKING:
    from extractors.backbones.base import Backbone

AVA_PREFIX = "ava_"
AVA_SETTINGS = {"head": "roi", "num_classes": 80, "activation": "sigmoid"}
"""What `ava_<name>` changes in <name>: a network that classifies the actions of boxes."""

LFB_SETTINGS = {
    "architecture": "i3d",
    "sampling": "32x2",
    "early_time_stride": False,
    "pool1_padding": 1,
    "nonlocal_blocks": 5,
    "nonlocal_group": {3: 4},
    "res5_stride": 1,
    "head": "global",
}
"""The backbone of long-term feature banks. res5 is dilated by 2; `res5_dilation=1` for EPIC and Charades R101."""

RES4_OF_R101 = {4: (6, 13, 20)}

RESNETS: dict[str, dict[str, Any]] = {
    "c2d_r50": {"architecture": "c2d"},
    "c2d_r101": {"architecture": "c2d", "depth": 101},
    "c2d_nl_r50": {"architecture": "c2d", "nonlocal_blocks": 5},
    "c2d_nl_r101": {"architecture": "c2d", "depth": 101, "nonlocal_blocks": 5},
    "i3d_r50": {"architecture": "i3d"},
    "i3d_r101": {"architecture": "i3d", "depth": 101},
    "i3d_333_r50": {"architecture": "i3d_333"},
    "i3d_333_r101": {"architecture": "i3d_333", "depth": 101},
    "i3d_nl_r50": {"architecture": "i3d", "nonlocal_blocks": 5},
    "i3d_nl_r101": {"architecture": "i3d", "depth": 101, "nonlocal_blocks": 5},
    "lfb_i3d_nl_r50": LFB_SETTINGS,
    "lfb_i3d_nl_r101": {**LFB_SETTINGS, "depth": 101},
    "slow_4x16_r50": {"architecture": "slow", "sampling": "4x16"},
    "slow_8x8_r50": {"architecture": "slow", "sampling": "8x8"},
    "slow_16x8_r101": {"architecture": "slow", "sampling": "16x8", "depth": 101, "temporal_res4_blocks": 6},
    "fast_4x16_r50": {"architecture": "fast", "sampling": "32x2", "width": 8},
}

SLOWFASTS: dict[str, dict[str, Any]] = {
    "slowfast_4x16_r50": {},
    "slowfast_8x8_r50": {"sampling": "8x8", "alpha": 4, "lateral_kernel": 7},
    "slowfast_8x8_r101": {"sampling": "8x8", "alpha": 4, "depth": 101},
    "slowfast_8x8_r101_50_101": {"sampling": "8x8", "alpha": 4, "depth": 101, "fast_temporal_res4_blocks": 23},
    "slowfast_8x8_r101_101_101": {
        "sampling": "8x8",
        "alpha": 4,
        "depth": 101,
        "slow_temporal_res4_blocks": 23,
        "fast_temporal_res4_blocks": 23,
    },
    "slowfast_8x8_r101_nl": {
        "sampling": "8x8",
        "alpha": 4,
        "depth": 101,
        "nonlocal_at": RES4_OF_R101,
        "nonlocal_pool": (2, 2, 2),
    },
    "slowfast_16x8_r101": {"sampling": "16x8", "alpha": 4, "depth": 101},
    "slowfast_16x8_r101_nl": {
        "sampling": "16x8",
        "alpha": 4,
        "depth": 101,
        "nonlocal_at": RES4_OF_R101,
        "nonlocal_pool": (2, 2, 2),
    },
}


def _resnet(options: Mapping[str, Any]) -> Backbone:
    from extractors.backbones.resnet import ResNet, ResNetConfig

    return ResNet(_configured(ResNetConfig, options))


def _slowfast(options: Mapping[str, Any]) -> Backbone:
    from extractors.backbones.slowfast import SlowFast, SlowFastConfig

    return SlowFast(_configured(SlowFastConfig, options))


def _compact(options: Mapping[str, Any]) -> Backbone:
    from extractors.backbones.compact import CompactSlowFast, CompactSlowFastConfig

    return CompactSlowFast(_configured(CompactSlowFastConfig, options))


def _coviar(options: Mapping[str, Any]) -> Backbone:
    from extractors.backbones.coviar import CoviarConfig, CoviarNetwork

    return CoviarNetwork(_configured(CoviarConfig, options))


Builder = Callable[[Mapping[str, Any]], "Backbone"]

BACKBONES: dict[str, tuple[Builder, dict[str, Any]]] = {
    **{name: (_resnet, settings) for name, settings in RESNETS.items()},
    **{name: (_slowfast, settings) for name, settings in SLOWFASTS.items()},
    "slowfast_compact": (_compact, {}),
}
"""The ResNet family: name -> builder and the settings that the name stands for. `backbone_names` has all."""

COMPRESSED: dict[str, Builder] = {"coviar": _coviar}
"""Networks over frames of compressed video; `stream="iframe"`, `"motion"` or `"residual"` says which."""


def backbone_names() -> tuple[str, ...]:
    """Every name that `build_backbone` knows, without those made by `ava_`."""
    from extractors.backbones.inception import INCEPTION

    return (*BACKBONES, *INCEPTION, *COMPRESSED)


def build_backbone(name: str, **options: Any) -> Backbone:
    """The network called `name`, with weights as they are before training.

    Args:
        name: one of `backbone_names`, or `ava_` before it: that network with a head for boxes, 80 classes and
            sigmoid.
        options: settings over those of the name; `ResNetConfig`, `SlowFastConfig`, `CoviarConfig` and the Inception
            builders say which.
    Raises:
        ConfigError: the name or a setting is not known; the message lists those that are.
    """
    base = name.removeprefix(AVA_PREFIX)
    of_head = AVA_SETTINGS if base != name else {}
    if base in BACKBONES:
        build, settings = BACKBONES[base]
        return build({**settings, **of_head, **options})
    if name in COMPRESSED:
        return COMPRESSED[name](options)
    from extractors.backbones.inception import INCEPTION

    if base in INCEPTION:
        known = list(inspect.signature(INCEPTION[base]).parameters)
        _refuse_unknown(name, options, known)
        return INCEPTION[base](**{**of_head, **options})
    names = backbone_names()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"No backbone is called {name!r}.{hint} There are: {', '.join(names)}.")


def _configured(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    _refuse_unknown(kind.__name__, options, known)
    return kind(**options)


def _refuse_unknown(what: str, options: Mapping[str, Any], known: list[str]) -> None:
    unknown = sorted(options.keys() - set(known))
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"{what} has no option {', '.join(unknown)}.{hint} There are: {', '.join(known)}.")
