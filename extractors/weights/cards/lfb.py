"""The zoo of long-term feature banks (facebookresearch/video-long-term-feature-banks): Caffe2 pickles, I3D-NL.

Each model that uses a bank comes as two files: the model itself, and (`_bank`) the network that writes its bank. The
first also holds the feature bank operator (`lfb.` names) and a classifier over clip and bank: it is loaded as a whole
into the model of `longform.lfb.released`; the network of the card is its backbone alone, which takes the file with
`strict=False` and `classifier="skip"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extractors.clips.input import ClipInput
from extractors.weights.card import WeightCard

ZOO = "https://dl.fbaipublicfiles.com/video-long-term-feature-banks/"

_TASKS: Mapping[str, tuple[str, int, str]] = {
    "ava": ("ava-80", 80, "AVA 2.1 val"),
    "verbs": ("epic-kitchens-verbs", 125, "EPIC-Kitchens verbs, val"),
    "nouns": ("epic-kitchens-nouns", 352, "EPIC-Kitchens nouns, val"),
    "charades": ("charades-157", 157, "Charades val"),
}


def _options(task: str, depth: str) -> dict[str, Any]:
    dilation = 2 if task == "ava" or (task, depth) == ("charades", "r50") else 1
    return {"res5_dilation": dilation, **({"activation": "sigmoid"} if task == "charades" else {})}


def _card(name: str, path: str, task: str, depth: str, accuracy: Mapping[str, float], note: str) -> WeightCard:
    classes, num_classes, data = _TASKS[task]
    return WeightCard(
        name=f"{name}_lfb",
        model=f"{'ava_' if task == 'ava' else ''}lfb_i3d_nl_{depth}",
        options={"num_classes": num_classes, **_options(task, depth)},
        url=ZOO + path,
        file_name=path.rsplit("/", 1)[-1],
        container="caffe2",
        licence="Apache-2.0",
        num_classes=num_classes,
        classes=classes,
        input=ClipInput(
            num_frames=32,
            stride=4 if task == "charades" else 2,
            fps=24.0 if task == "charades" else 30.0,
            sampling="charades" if task == "charades" else "nonlocal",
            resize="bytes",
            crop="nonlocal",
        ),
        accuracy=accuracy,
        protocol=f"{data}; {'one view of the whole frame' if task == 'ava' else 'as in the paper'}",
        source="facebookresearch/video-long-term-feature-banks, README.md",
        note=note,
    )


def _baseline(task: str, depth: str, run: int, accuracy: Mapping[str, float]) -> WeightCard:
    return _card(f"{depth}_{task}_baseline", f"{run}/model_final.pkl", task, depth, accuracy, "No feature bank.")


def _with_bank(task: str, depth: str, operator: str, run: int, accuracy: Mapping[str, float]) -> tuple[WeightCard, ...]:
    name = f"{depth}_{task}_{operator}"
    model = _card(name, f"{run}/model_final.pkl", task, depth, accuracy,
                  "Also holds the operator and a classifier over clip and bank: build it with longform.lfb.released. "
                  "For its backbone alone, load it with strict=False and classifier='skip'.")  # fmt: skip
    if task == "nouns":
        return (model,)  # its bank comes from a detector
    bank = _card(f"{name}_bank", f"{run}/lfb_model.pkl", task, depth, {}, f"Writes the bank that {name}_lfb reads.")
    return model, bank


def _pretraining(depth: str) -> WeightCard:
    file = f"{depth}_k400_pretrained.pkl"
    return WeightCard(
        name=f"i3d_nl_{depth}_k400_lfb",
        model=f"lfb_i3d_nl_{depth}",
        options={"num_classes": 400, "res5_stride": 2, "res5_dilation": 1},
        url=ZOO + file,
        file_name=file,
        container="caffe2",
        licence="Apache-2.0",
        num_classes=400,
        classes="kinetics-400",
        input=ClipInput(num_frames=32, stride=2, sampling="nonlocal", resize="bytes", crop="nonlocal"),
        source="facebookresearch/video-long-term-feature-banks, README.md",
        note="What all models of this zoo were trained from; no accuracy is published.",
    )


def _top(top1: float, top5: float) -> Mapping[str, float]:
    return {"top1": top1, "top5": top5}


CARDS: tuple[WeightCard, ...] = (
    _pretraining("r50"),
    _pretraining("r101"),
    _baseline("ava", "r50", 102760666, {"mAP": 22.2}),
    *_with_bank("ava", "r50", "avg", 103505104, {"mAP": 23.3}),
    *_with_bank("ava", "r50", "max", 103505159, {"mAP": 23.9}),
    *_with_bank("ava", "r50", "nl", 102824705, {"mAP": 25.8}),
    *_with_bank("ava", "r50", "nl_3l", 106403526, {"mAP": 25.9}),
    _baseline("ava", "r101", 102760714, {"mAP": 23.2}),
    *_with_bank("ava", "r101", "nl_3l", 105206523, {"mAP": 26.9}),
    _baseline("verbs", "r50", 103704809, _top(50.7, 81.1)),
    *_with_bank("verbs", "r50", "avg", 103777391, _top(52.9, 82.5)),
    *_with_bank("verbs", "r50", "max", 103777432, _top(53.3, 81.0)),
    *_with_bank("verbs", "r50", "nl", 103777046, _top(52.3, 81.8)),
    _baseline("nouns", "r50", 104421642, _top(26.2, 51.0)),
    *_with_bank("nouns", "r50", "avg", 103875866, _top(29.1, 56.3)),
    *_with_bank("nouns", "r50", "max", 103875899, _top(32.0, 56.5)),
    *_with_bank("nouns", "r50", "nl", 103706990, _top(29.5, 55.4)),
    _baseline("charades", "r50", 102766107, {"mAP": 38.3}),
    *_with_bank("charades", "r50", "avg", 102999065, {"mAP": 38.4}),
    *_with_bank("charades", "r50", "max", 102999121, {"mAP": 38.6}),
    *_with_bank("charades", "r50", "nl", 100866795, {"mAP": 40.3}),
    _baseline("charades", "r101", 103560426, {"mAP": 40.4}),
    *_with_bank("charades", "r101", "avg", 103676713, {"mAP": 40.8}),
    *_with_bank("charades", "r101", "max", 103676788, {"mAP": 41.0}),
    *_with_bank("charades", "r101", "nl", 103641815, {"mAP": 42.5}),
)
