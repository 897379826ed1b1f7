"""Makes the originals importable from their checkouts, on a machine that lacks what they import but do not use here.

Left out are matplotlib and detectron2 (whose `ROIAlign` hands its arguments to torchvision's `roi_align`), and parts of
SlowFast and mmaction2 without the networks compared here. torchvision may be a build without operators for this torch:
its Python form of RoIAlign runs then.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import InputError

CHECKOUTS = {
    "SlowFast": "facebookresearch/SlowFast",
    "pytorchvideo": "facebookresearch/pytorchvideo",
    "pytorch-i3d": "piergiaj/pytorch-i3d",
    "S3D": "kylemin/S3D",
    "mmaction2": "open-mmlab/mmaction2",
}
"""Folder that is expected in `--repositories` -> repository."""

OTHER_NETWORKS = {"slowfast.models.contrastive": "ContrastiveModel", "slowfast.models.masked": "MaskMViT"}
OTHER_PARTS = ("localizers", "multimodal", "roi_heads", "similarity", "task_modules")
"""Of `mmaction.models`."""


def make_importable(repositories: Path) -> dict[str, str]:
    """Prepare `import slowfast`, `pytorchvideo`, `mmaction` and `torchvision`; the commit or version of each original.

    Raises:
        InputError: a checkout is missing.
    """
    for folder, repository in CHECKOUTS.items():
        if not (repositories / folder).is_dir():
            raise InputError(f"{repositories / folder} is missing. Clone github.com/{repository} there.")
    sys.path[:0] = [str(repositories / folder) for folder in ("SlowFast", "pytorchvideo", "mmaction2")]
    _declare_operators()
    _stand_in("matplotlib")
    _stand_in("matplotlib.pyplot")
    _stand_in("detectron2")
    _stand_in("detectron2.layers", ROIAlign=_RoIAlign)
    for name, network in OTHER_NETWORKS.items():
        _stand_in(name, **{network: None})
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    for name in OTHER_PARTS:
        _stand_in(f"mmaction.models.{name}", __all__=[])
    torch.compiler.set_stance("force_eager")  # or RoIAlign in Python would be compiled
    torchvision = importlib.import_module("torchvision")
    commits = {repository: _commit(repositories / folder) for folder, repository in CHECKOUTS.items()}
    return {**commits, "pytorch/vision": torchvision.__version__}


def module_at(path: Path) -> ModuleType:
    """The module in a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _RoIAlign(nn.Module):
    """detectron2.layers.ROIAlign as SlowFast calls it."""

    def __init__(self, output_size: int, spatial_scale: float, sampling_ratio: int, aligned: bool = True) -> None:
        super().__init__()
        self.settings = {"spatial_scale": spatial_scale, "sampling_ratio": sampling_ratio, "aligned": aligned}
        self.output_size = output_size

    def forward(self, maps: Tensor, rois: Tensor) -> Tensor:
        roi_align = importlib.import_module("torchvision.ops").roi_align
        pooled: Tensor = roi_align(maps, rois, self.output_size, **self.settings)
        return pooled


def _stand_in(name: str, **contents: Any) -> None:
    module = ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


_OPERATORS: list[torch.library.Library] = []
"""Declarations live as long as their library does."""


def _declare_operators() -> None:
    """Names of torchvision's operators, without which a build for another torch cannot be imported."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise InputError("torchvision is not installed: `pip install --no-deps torchvision`.")
    source = Path(found.origin).with_name("_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(set(re.findall(r'(?:register_meta\("|"torchvision::)(\w+)"', source))):
        library.define(f"{name}(Tensor a) -> Tensor")
    _OPERATORS.append(library)


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
