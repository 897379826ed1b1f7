"""Tensor names of CoViAR's checkpoints (chaoyuaw/pytorch-coviar, model.py and train.py).

`<prefix>_<representation>_{checkpoint,model_best}.pth.tar` holds `{epoch, arch, best_prec1, state_dict}`. The names in
it are those of torchvision's ResNet after `base_model.`, and `data_bn.` of the motion and residual networks, all after
the `module.` of data parallelism. Its authors published no weights; files of this form come from their training code.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from extractors.weights import resnet_layouts
from extractors.weights.layouts import Layout, State

BODY = "base_model."


def _bare(name: str) -> str:
    return name.removeprefix("module.")


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return any(_bare(name).startswith(BODY) for name in tensors)


def _convert(tensors: Mapping[str, Tensor]) -> State:
    torchvision = next(layout for layout in resnet_layouts.LAYOUTS if layout.name == "torchvision-resnet")
    return torchvision.convert({_bare(name).removeprefix(BODY): tensor for name, tensor in tensors.items()})


LAYOUTS: tuple[Layout, ...] = (Layout("coviar", _recognises, _convert),)
