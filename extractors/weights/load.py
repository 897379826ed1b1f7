"""Load a weight file of any of the public code bases into a network of ours, or say everything that does not fit."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from extractors.errors import ConfigError, WeightsError
from extractors.weights.containers import Contents, read_tensors
from extractors.weights.hashes import sha256_of
from extractors.weights.layouts import Layout, State
from extractors.weights.misfit import CLASSIFIERS, Misfit, MisfitError, shapes

OWN_LAYOUT: Final = "longform"
_LAYOUT_MODULES = (
    "extractors.weights.resnet_layouts",
    "extractors.weights.inception_layouts",
    "extractors.weights.coviar_layout",
    "extractors.weights.detection_layouts",
)
CLASSIFIER_WEIGHT: Final = "head.fc.weight"
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was loaded."""

    path: Path
    sha256: str
    container: str
    """See `Contents.container`."""
    layout: str
    """Whose tensor names the file has: `pyslowfast`, `caffe2`, ..., or `longform` for our own."""
    num_loaded: int
    """Tensors of the network that now have the file's values."""
    skipped: tuple[str, ...]
    """Tensors of the classifier, left as they were on request."""
    missing: tuple[str, ...]
    """Tensors of the network that the file lacks; empty if `strict`."""
    unexpected: tuple[str, ...]
    """Tensors of the file that the network lacks; empty if `strict`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """See `Contents.facts`."""


def load_weights(
    model: nn.Module, path: str | Path, *, strict: bool = True, classifier: Literal["load", "skip"] = "load"
) -> LoadReport:
    """Give a network the weights in a file. A network that they do not fit is left as it was.

    Container and names are recognised from the file: own safetensors, PySlowFast, PyTorchVideo, Caffe2 pickles of
    video-nonlocal-net and LFB, torchvision, pytorch-i3d, S3D, CoViAR, TensorFlow, Detectron2. Nothing in a file can
    run. A first part that all names share, such as `module.` of DataParallel, is left out.

    Shapes may differ by trailing ones. Kernels of an image network, where no tensor of the file has a time axis, are
    repeated in time and divided by its length (Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017,
    section 2.1). Counters of batches are ignored.

    A model that has a network as a part says in `places_of_parts` how the names of that network's parts begin, by
    itself and in the model: `{"slow.": "backbone.slow."}`.

    Args:
        strict: whether tensors that only one side has are an error. Wrong shapes always are.
        classifier: `skip` leaves `head.fc` (of a detector: classes and boxes) as it is, to train it on other classes.
    Raises:
        WeightsError: there is no such file, it is unsafe or damaged, or its names are of no code base we know.
        MisfitError: the tensors do not fit: all that are missing, unexpected and mis-shaped, in one message.
    """
    if classifier not in ("load", "skip"):
        raise ConfigError(f"classifier is {classifier!r}; expected 'load' or 'skip'.")
    path = Path(path)
    contents = read_tensors(path)
    target = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_COUNTER)}
    layout, by_itself = _convert(contents, target, path)
    converted = _placed(by_itself, getattr(model, "places_of_parts", {}))
    skipped = {name for name in {**target, **converted} if classifier == "skip" and name.startswith(CLASSIFIERS)}
    wanted = {name: tensor for name, tensor in target.items() if name not in skipped}
    given = {name: tensor for name, tensor in converted.items() if name not in skipped}
    fitted = _fit(given, wanted)
    misfit = _misfit(fitted, wanted)
    if misfit.misshaped or (strict and (misfit.missing or misfit.unexpected)):
        source = f"{path} ({contents.container}, {layout} names) does not fit {type(model).__name__}"
        raise MisfitError(source, misfit)
    state = {name: fitted[name].to(tensor.dtype) for name, tensor in wanted.items() if name in fitted}
    model.load_state_dict(state, strict=False)
    return LoadReport(
        path=path,
        sha256=sha256_of(path),
        container=contents.container,
        layout=layout,
        num_loaded=len(state),
        skipped=tuple(sorted(skipped & target.keys())),
        missing=tuple(misfit.missing),
        unexpected=tuple(misfit.unexpected),
        facts=contents.facts,
    )


def classes_in(path: str | Path, model: nn.Module) -> int | None:
    """How many classes the classifier in a file knows, under the names of `model`; None if it has none.

    Raises:
        WeightsError: as `load_weights`.
    """
    _, state = _convert(read_tensors(path), model.state_dict(), Path(path))
    return len(state[CLASSIFIER_WEIGHT]) if CLASSIFIER_WEIGHT in state else None


def save_weights(model: nn.Module, path: str | Path, *, name: str, options: Mapping[str, Any] | None = None) -> None:
    """Write a network's weights as safetensors under our names; the metadata says how to build it again.

    Args:
        name: the model's name in the catalogue.
        options: what it was built with beyond the name; plain values only.
    """
    from safetensors.torch import save_file

    metadata = {"format": OWN_LAYOUT, "model": name, "options": json.dumps(dict(options or {}), sort_keys=True)}
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, str(path), metadata=metadata)


def layouts() -> tuple[Layout, ...]:
    """The layouts of every code base we know, in the order in which they are tried."""
    return tuple(layout for module in _LAYOUT_MODULES for layout in importlib.import_module(module).LAYOUTS)


def _convert(contents: Contents, target: Mapping[str, Tensor], path: Path) -> tuple[str, State]:
    """The layout's name, and the tensors under our names, without counters.

    What all names begin with is left out, such as `module.` of DataParallel, until they are of a layout we know.
    """
    tensors: State = {name: tensor for name, tensor in contents.tensors.items() if not name.endswith(_COUNTER)}
    known, inner = layouts(), tensors
    while inner:
        if contents.facts.get("format") == OWN_LAYOUT or 2 * len(inner.keys() & target.keys()) > len(inner):
            return OWN_LAYOUT, inner
        for layout in known:
            if layout.recognises(inner):
                state = layout.convert(inner)
                return layout.name, {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTER)}
        inner = _unwrapped(inner)
    raise WeightsError(
        f"{path} ({contents.container}) has {len(tensors)} tensors under names that we do not know, such as "
        f"{', '.join(list(tensors)[:3]) or 'none'}. Known are those of: {', '.join(layout.name for layout in known)}, "
        f"and our own (as save_weights writes them)."
    )


def _unwrapped(tensors: State) -> State:
    """The tensors without the first part of their names, where all have the same; else none."""
    if len({name.split(".")[0] for name in tensors}) > 1 or not all("." in name for name in tensors):
        return {}
    return {name.split(".", 1)[1]: tensor for name, tensor in tensors.items()}


def _placed(state: State, places: Mapping[str, str]) -> State:
    """The tensors under the names that they have in a model with the network as a part."""

    def name_in_model(name: str) -> str:
        start = next((start for start in places if name.startswith(start)), "")
        return places.get(start, "") + name.removeprefix(start)

    return {name_in_model(name): tensor for name, tensor in state.items()}


def _fit(given: State, wanted: Mapping[str, Tensor]) -> State:
    """The given tensors, each in the shape that the network wants where that is allowed, else as it is."""
    is_image_net = all(tensor.ndim < 5 for tensor in given.values())
    return {
        name: _reshaped(tensor, wanted[name].shape, is_image_net) if name in wanted else tensor
        for name, tensor in given.items()
    }


def _reshaped(tensor: Tensor, shape: torch.Size, is_image_net: bool) -> Tensor:
    if tensor.shape == shape:
        return tensor
    if tensor.ndim == 4 and len(shape) == 5 and tensor.shape == (*shape[:2], *shape[3:]) and (
        is_image_net or shape[2] == 1
    ):  # fmt: skip
        return tensor.unsqueeze(2).expand(shape) / shape[2]
    if _without_trailing_ones(tensor.shape) == _without_trailing_ones(shape):
        return tensor.reshape(shape)
    return tensor


def _without_trailing_ones(shape: torch.Size) -> tuple[int, ...]:
    length = len(shape)
    while length and shape[length - 1] == 1:
        length -= 1
    return tuple(shape[:length])


def _misfit(fitted: State, wanted: Mapping[str, Tensor]) -> Misfit:
    expected, found = shapes(wanted), shapes(fitted)
    return Misfit(
        expected=expected,
        missing=[name for name in expected if name not in found],
        unexpected={name: shape for name, shape in found.items() if name not in expected},
        misshaped={name: shape for name, shape in found.items() if name in expected and shape != expected[name]},
    )
