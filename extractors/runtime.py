"""Where and how networks run: device, precision, memory layout. The only place that knows about devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from extractors.allocator import keep_freed_memory
from extractors.errors import ConfigError
from extractors.onednn import use_onednn
from extractors.placement import share

ALL_CUDA = "cuda:all"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
NORMALISED = (("conv", "bn"), ("out", "bn"))
"""Names of a convolution and of the batch normalisation that follows it, in the modules of our networks."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How networks run. `fp32` on `cpu` is the reference that all other choices are compared with."""

    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the best there is. `cuda:all` spreads the children of a worker over
    its CUDA devices, in turn; elsewhere it is the first one."""
    precision: str = "fp32"
    """`fp32`, or `bf16`: weights and activations in bfloat16."""
    compile: bool = False
    """Compile the network on its first clip of each shape."""
    shared: bool = False
    """The child processes of a run have one process for each device run their networks."""
    elsewhere: bool = False
    """The device is one of other machines, which look for it when they prepare a network."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"Unknown precision {self.precision!r}. Choose one of: {', '.join(PRECISIONS)}.")
        kind, _, index = self.device.partition(":")
        if self.device != ALL_CUDA and (kind not in ("cpu", "cuda", "mps", "auto") or (index and not index.isdigit())):
            raise ConfigError(
                f"Unknown device {self.device!r}. Choose cpu, cuda, cuda:<number>, cuda:all, mps or auto."
            )
        if not self.elsewhere:
            self._look_for_device()

    def _look_for_device(self) -> None:
        kind, _, index = self.device.partition(":")
        number = 0 if self.device == ALL_CUDA else int(index or 0)
        if kind == "cuda" and number >= torch.cuda.device_count():
            raise ConfigError(
                f"Device {self.device!r}: this machine shows {torch.cuda.device_count()} CUDA devices to "
                f"torch {torch.__version__}. Use cpu, or install a CUDA build of torch."
            )
        if kind == "mps" and not torch.backends.mps.is_available():
            raise ConfigError(f"Device 'mps': torch {torch.__version__} finds none here. Use cpu.")

    @property
    def num_devices(self) -> int:
        """Devices that a worker process uses; 1 where only other machines know."""
        return max(1, torch.cuda.device_count()) if self.device == ALL_CUDA else 1

    @property
    def device_name(self) -> str:
        """The device as cards state it: as it was asked for where other machines decide."""
        return self.device if self.elsewhere else str(self.torch_device)

    @property
    def torch_device(self) -> torch.device:
        """The device, with `auto` and `cuda:all` decided for this process."""
        if self.device == ALL_CUDA:
            return torch.device("cuda", share(torch.cuda.device_count()))
        if self.device != "auto":
            return torch.device(self.device)
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    def prepare(self, model: Network) -> Network:
        """Make `model` ready for inference, in place, and return it.

        Evaluation mode, batch normalisation folded into the convolutions before it, weights in the runtime's
        precision and channels-last layout on its device; on a CPU every convolution by oneDNN, if not compiled, and
        freed memory stays with the process.

        Raises:
            ConfigError: this machine has no such device, or the model is of a kind that is not compiled.
        """
        self._look_for_device()
        if self.compile and not hasattr(model, "forward_features"):
            raise ConfigError(f"{type(model).__name__} cannot be compiled: run it without --compile.")
        model.eval().requires_grad_(False)
        fold_batch_norm(model)
        if self.torch_device.type == "cpu":
            keep_freed_memory()
            if not self.compile:  # the compiler cannot look into calls of oneDNN
                use_onednn(model)
        model.to(device=self.torch_device, dtype=PRECISIONS[self.precision])
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if self.compile:
            vars(model)["forward_features"] = torch.compile(cast(Any, model).forward_features)
        return model

    def to(self, clip: Tensor) -> Tensor:
        """`clip` (N, C, T, H, W) as a prepared network wants it: device, precision, channels-last."""
        layout = torch.channels_last_3d if clip.dim() == 5 else torch.preserve_format
        return clip.to(device=self.torch_device, dtype=PRECISIONS[self.precision], memory_format=layout)


def fold_batch_norm(model: nn.Module) -> None:
    """Fold every batch normalisation in evaluation mode into the convolution before it, in place.

    The network computes the same with fewer passes over its activations (to float rounding).
    """
    for parent in list(model.modules()):
        for convolution, norm in NORMALISED:
            conv, bn = getattr(parent, convolution, None), getattr(parent, norm, None)
            if isinstance(conv, nn.Conv3d) and isinstance(bn, nn.BatchNorm3d):
                setattr(parent, convolution, fuse_conv_bn_eval(conv, bn))
                setattr(parent, norm, nn.Identity())
