"""What CoViAR's training starts from: torchvision's image networks. Its authors published no weights of their own."""

from __future__ import annotations

from extractors.weights.card import WeightCard

TORCHVISION = "https://download.pytorch.org/models/"


def _card(depth: int, digest: str, top1: float, top5: float, used_for: str) -> WeightCard:
    return WeightCard(
        name=f"resnet{depth}_imagenet_tv",
        model="coviar",
        options={"stream": "iframe", "depth": depth, "num_classes": 1000},
        url=f"{TORCHVISION}resnet{depth}-{digest}.pth",
        file_name=f"resnet{depth}-{digest}.pth",
        container="torch",
        digest_prefix=f"sha256:{digest}",
        licence="BSD-3-Clause",
        num_classes=1000,
        classes="imagenet-1000",
        accuracy={"top1": top1, "top5": top5},
        protocol="ImageNet-1k val; short side 256, centre crop 224",
        source=f"pytorch/vision, torchvision/models/resnet.py, ResNet{depth}_Weights.IMAGENET1K_V1",
        note=f"Pictures, not clips: the start of CoViAR's {used_for}.",
    )


CARDS: tuple[WeightCard, ...] = (
    _card(18, "f37072fd", 69.758, 89.078, "networks for motion vectors and for residuals"),
    _card(152, "394f9c45", 78.312, 94.046, "network for I-frames"),
)
