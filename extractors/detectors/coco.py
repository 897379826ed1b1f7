"""The classes of COCO (Lin et al., ECCV 2014) in the order of detectors' outputs."""

from __future__ import annotations

COCO_80: tuple[str, ...] = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)
"""Detectron and Detectron2: the classes that are annotated."""

UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Of COCO's ids 1 to 90, those that no object has."""

_NAME_OF_ID = dict(zip((i for i in range(1, 91) if i not in UNUSED_IDS), COCO_80, strict=True))

COCO_90: tuple[str, ...] = tuple(_NAME_OF_ID.get(i, f"unused id {i}") for i in range(1, 91))
"""torchvision: one output for each id from 1 on."""

_KNOWN = {1: ("person",), len(COCO_80): COCO_80, len(COCO_90): COCO_90}


def class_names(num_classes: int) -> tuple[str, ...]:
    """The names that public detectors with so many classes have; plain numbers where there is no such detector."""
    return _KNOWN.get(num_classes, tuple(f"class {i}" for i in range(num_classes)))
