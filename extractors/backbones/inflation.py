"""Start a video network from an image network (Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017).

Every k x k kernel becomes t x k x k: its t planes are the image network's kernel divided by t. For a still image
repeated in time, each convolution then computes what it computed for the image, *where its kernel lies within the
clip*: in time the networks pad with zeros, so in I3D the maps equal the image network's from some frames inwards (the
temporal reach of the layers so far, on either side), and everywhere in C2D.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from extractors.backbones.video_resnet import VideoResNet
from extractors.errors import WeightsError
from extractors.weights.layouts import State
from extractors.weights.resnet_layouts import LAYOUTS


def inflate(image_state: Mapping[str, Tensor], network: VideoResNet) -> State:
    """A full state of `network`, its convolutions and normalisations from a 2D ResNet of the same depth.

    What an image network has no counterpart for stays as it is in `network`: non-local blocks, counters, and the
    classifier unless it has the same shape (ImageNet's 1000 classes are no actions).

    Args:
        image_state: of torchvision's ResNet-50 or -101, or the `model_state` of PySlowFast's `R50_IN1K.pyth`.
        network: one pathway; the Fast pathway of SlowFast has no image network of its width.
    Raises:
        WeightsError: the names are of another code base, or tensors are missing, unexpected or of another shape.
    """
    layout = next((layout for layout in LAYOUTS if layout.recognises(image_state)), None)
    if layout is None:
        raise WeightsError(f"Not an image ResNet that we know: {', '.join(list(image_state)[:3])}.")
    given = layout.convert(image_state)
    state: State = {}
    wrong = [f"{name} is unexpected" for name in given.keys() - network.state_dict().keys()]
    for name, own in network.state_dict().items():
        kernel = _repeated(given[name], own) if name in given else None
        if kernel is not None and kernel.shape == own.shape:
            state[name] = kernel
        elif ".nl." in name or name.startswith("head.") or name.endswith("num_batches_tracked"):
            state[name] = own
        else:
            found = "missing" if kernel is None else f"{tuple(kernel.shape)} for {tuple(own.shape)}"
            wrong.append(f"{name} is {found}")
    if wrong:
        raise WeightsError(f"The image network ({layout.name} names) does not fit: {'; '.join(sorted(wrong))}.")
    return state


def _repeated(kernel: Tensor, own: Tensor) -> Tensor:
    """(O, I, k, k) -> (O, I, t, k, k) with t planes of 1/t each; anything else as it is."""
    if kernel.dim() != 4 or own.dim() != 5:
        return kernel
    frames = own.shape[2]
    return (kernel / frames).unsqueeze(2).expand(-1, -1, frames, -1, -1).clone()
