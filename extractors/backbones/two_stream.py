"""Two networks, one over RGB and one over optical flow, that answer together."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from extractors.backbones.base import Backbone
from extractors.errors import ConfigError


class TwoStream(nn.Module):
    """Fuses the logits of an RGB and a flow network.

    Args:
        rgb, flow: networks of 3 and 2 input channels with the same classes.
        fusion: `sum` as Inception-I3D does (google-deepmind/kinetics-i3d), or `mean`. Both rank the classes alike, but
            the probabilities after `sum` are sharper. The S3D paper does not say how it ensembles (section 5.1).
    Raises:
        ConfigError: the networks do not fit together, or `fusion` is neither.
    """

    def __init__(self, rgb: Backbone, flow: Backbone, fusion: Literal["sum", "mean"] = "sum") -> None:
        super().__init__()
        channels = rgb.input_channels, flow.input_channels
        if channels != (3, 2):
            raise ConfigError(f"The networks take {channels} channels; expected 3 (RGB) and 2 (flow).")
        if rgb.num_classes != flow.num_classes:
            raise ConfigError(f"The networks have {rgb.num_classes} and {flow.num_classes} classes; expected the same.")
        if fusion not in ("sum", "mean"):
            raise ConfigError(f"fusion is {fusion!r}; expected 'sum' or 'mean'.")
        self.rgb, self.flow, self.fusion = rgb, flow, fusion

    def forward(self, rgb_clip: Tensor, flow_clip: Tensor) -> Tensor:
        """(N, K) logits of clips (N, 3, T, H, W) and (N, 2, T, H, W); the lengths and sizes may differ."""
        total = self.rgb(rgb_clip) + self.flow(flow_clip)
        return total / 2 if self.fusion == "mean" else total
