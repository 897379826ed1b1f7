"""A weight card: everything needed to find, check, load and use one public checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from extractors.clips.input import ClipInput


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """One public checkpoint."""

    name: str
    """Name in `longform weights list`."""
    model: str
    """Name for `build_backbone` or `build_detector`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the builder beyond the name, so that name and card reproduce the network."""
    url: str
    """Where the file is published, empty if `packaged`; for Google Drive the page: only a browser gets the file."""
    packaged: bool = False
    """Whether the file comes with this program."""
    file_name: str
    companions: Mapping[str, str] = field(default_factory=dict)
    """Files that belong to it, by name, with their addresses: the data of a TensorFlow index."""
    container: str
    """What the file is: `caffe2`, `pyslowfast`, `pytorchvideo`, `torch`, `tensorflow`, `detectron2`."""
    licence: str
    sha256: str | None = None
    """Where it is known; otherwise it is recorded when the file is first added, and checked from then on."""
    digest_prefix: str = ""
    """First digits of a digest that the publisher states, such as `sha256:258fb6c6` or `md5:280758`."""
    num_classes: int
    classes: str
    """Name of the class list, such as `kinetics-400`."""
    input: ClipInput | None = None
    """None for a network over images."""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Published figures in %, such as `{"top1": 77.0, "top5": 92.6}`."""
    protocol: str = ""
    """How the figures were measured: data set, clips x crops, size."""
    source: str = ""
    """Where the card's facts come from."""
    note: str = ""
    """What a user must know: a trap, a difference to the paper."""

    def files(self) -> dict[str, str]:
        """Every file of the checkpoint, its own first: {name: address}."""
        return {self.file_name: self.url, **self.companions}
