"""extractors/detectors/detectron2_adapter.py, against a stand-in for Detectron2, which cannot be installed here.

The stand-in has the interfaces that the adapter uses, and a network so simple that its answers are known: the feature
of a proposal is a layer over the mean colour in it, its score the first of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from extractors.detectors.detectron2_adapter import INSTALL_PAGE, Detectron2Config, build_detectron2
from extractors.errors import ConfigError, MissingDependency, ShapeError, WeightsError

PROPOSALS = torch.tensor([[0.0, 0, 20, 40], [10, 10, 30, 20], [5, 5, 5, 9], [-8, 2, 12, 60]])
"""In pixels of the network's input; the third is empty, the fourth reaches out of the picture."""


class Boxes:
    def __init__(self, tensor):
        self.tensor = tensor


class Instances:
    """Fields of equal length, indexed together."""

    def __init__(self, image_size, **fields):
        self.image_size, self.fields = image_size, fields

    def __getattr__(self, name):
        return self.__dict__["fields"][name]

    def has(self, name):
        return name in self.fields

    def get(self, name):
        return self.fields[name]

    def set(self, name, value):
        self.fields[name] = value


def detector_postprocess(found, height, width):
    """Scaled to the frame and cut off at its border; boxes without area go."""
    scale = torch.tensor([width / found.image_size[1], height / found.image_size[0]] * 2)
    boxes = found.pred_boxes.tensor * scale
    boxes = torch.minimum(boxes.clamp(min=0), torch.tensor([width, height] * 2))
    kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
    rest = {name: value[kept] for name, value in found.fields.items() if name != "pred_boxes"}
    return Instances((height, width), pred_boxes=Boxes(boxes[kept]), **rest)


class Predictor(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg

    def forward(self, features):
        return features.sigmoid()

    def inference(self, scores, proposals):
        """Proposals by score, as the one-class detections they are; and which ones."""
        order = scores[:, 0].argsort(descending=True)
        kept = order[scores[order, 0] > self.cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST]
        kept = kept[: self.cfg.TEST.DETECTIONS_PER_IMAGE]
        boxes = Boxes(proposals[0].proposal_boxes.tensor[kept])
        classes = torch.ones(len(kept), dtype=torch.int64)
        return [Instances(proposals[0].image_size, pred_boxes=boxes, scores=scores[kept, 0], pred_classes=classes)], [
            kept
        ]


def box_pooler(maps, boxes):
    """(R, 3): the mean colour in each box."""
    pooled = []
    for x1, y1, x2, y2 in boxes[0].tensor.clamp(min=0).int().tolist():
        pooled.append(maps[0][0, :, y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].mean((1, 2)))
    return torch.stack(pooled)


class Network(nn.Module):
    """Like `GeneralizedRCNN`: `preprocess_image`, `backbone`, `proposal_generator`, `roi_heads`."""

    def __init__(self, cfg):
        super().__init__()
        self.register_buffer("pixel_mean", torch.full((3, 1, 1), 100.0))
        self.roi_heads = nn.Module()
        self.roi_heads.box_in_features = ["p2"]
        self.roi_heads.box_pooler = box_pooler
        self.roi_heads.box_head = nn.Linear(3, 5)
        self.roi_heads.box_predictor = Predictor(cfg)

    def preprocess_image(self, pictures):
        image = (pictures[0]["image"] - self.pixel_mean) / 100
        return SimpleNamespace(tensor=image[None], image_sizes=[tuple(image.shape[1:])])

    def backbone(self, images):
        return {"p2": images}

    def proposal_generator(self, images, maps, targets):
        return [Instances(images.image_sizes[0], proposal_boxes=Boxes(PROPOSALS))], {}


class Cascade(Network):
    """Its box head is a list, so only `forward` knows what to do."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.roi_heads.box_head = nn.ModuleList([self.roi_heads.box_head])

    def forward(self, pictures):
        images = self.preprocess_image(pictures)
        proposals, _ = self.proposal_generator(images, None, None)
        features = self.roi_heads.box_head[0](box_pooler([images.tensor], [proposals[0].proposal_boxes]))
        found, _ = self.roi_heads.box_predictor.inference(self.roi_heads.box_predictor(features), proposals)
        return [{"instances": detector_postprocess(found[0], pictures[0]["height"], pictures[0]["width"])}]


class Segmenter(Cascade):
    def forward(self, pictures):
        return [{"sem_seg": torch.zeros(1)}]


class ResizeShortestEdge:
    """Doubles every pixel, whatever the sizes asked for."""

    def __init__(self, short_px, max_px):
        assert (short_px, max_px) == ([800, 800], 1333)

    def get_transform(self, picture):
        return SimpleNamespace(apply_image=lambda array: array.repeat(2, 0).repeat(2, 1))


class Config(SimpleNamespace):
    def merge_from_file(self, path, allow_unsafe=True):
        assert not allow_unsafe
        said = json.loads(Path(path).read_text())
        self.INPUT.FORMAT = said.get("format", "BGR")
        self.MODEL.WEIGHTS = said.get("weights", "detectron2://ImageNetPretrained/MSRA/R-50.pkl")
        self.MODEL.META_ARCHITECTURE = said.get("network", "Network")
        self.DATASETS.TEST = said.get("test", ("coco",))


def get_cfg():
    return Config(
        INPUT=SimpleNamespace(MIN_SIZE_TEST=800, MAX_SIZE_TEST=1333),
        MODEL=SimpleNamespace(
            ROI_HEADS=SimpleNamespace(SCORE_THRESH_TEST=0.0), RETINANET=SimpleNamespace(SCORE_THRESH_TEST=0.0)
        ),
        TEST=SimpleNamespace(DETECTIONS_PER_IMAGE=100),
        DATASETS=SimpleNamespace(TEST=()),
    )


def build_model(cfg):
    return globals()[cfg.MODEL.META_ARCHITECTURE](cfg)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The stand-in, and the folder of its model zoo."""

    def get_config_file(name):
        if not (tmp_path / "zoo" / name).is_file():
            raise RuntimeError(f"{name} not available in Model Zoo!")
        return str(tmp_path / "zoo" / name)

    def get_checkpoint_url(name):
        if name != "plain.yaml":
            raise RuntimeError("no weights")
        return "https://example.com/plain.pkl"

    parts = {
        "": {},
        ".config": {"get_cfg": get_cfg},
        ".model_zoo": {"get_config_file": get_config_file, "get_checkpoint_url": get_checkpoint_url},
        ".data": {"MetadataCatalog": {"coco": {"thing_classes": ["person", "bicycle"]}, "other": {}}},
        ".data.transforms": {"ResizeShortestEdge": ResizeShortestEdge},
        ".modeling": {"build_model": build_model},
        ".modeling.postprocessing": {"detector_postprocess": detector_postprocess},
    }
    for name, contents in parts.items():
        module = ModuleType(f"detectron2{name}")
        module.__dict__.update(contents, __path__=[])
        monkeypatch.setitem(sys.modules, f"detectron2{name}", module)
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


def configured(zoo, **said):
    (zoo / "plain.yaml").write_text(json.dumps(said))
    return "plain.yaml"


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(3, 5)


@pytest.fixture
def weights(tmp_path, layer):
    """A file with the weights of the stand-in's network."""
    torch.save({"model": named(layer)}, tmp_path / "model.pth")
    return str(tmp_path / "model.pth")


def named(layer):
    return {f"roi_heads.box_head.{name}": value for name, value in layer.state_dict().items()}


FRAME = np.random.default_rng(0).integers(0, 256, (30, 25, 3), np.uint8)


@pytest.mark.parametrize("channels", ["BGR", "RGB"])
def test_boxes_scores_and_features(zoo, weights, layer, channels):
    found = build_detectron2(configured(zoo, format=channels), weights=weights).detect(FRAME)
    colours = FRAME[..., ::-1] if channels == "BGR" else FRAME
    seen = torch.from_numpy(colours.repeat(2, 0).repeat(2, 1).transpose(2, 0, 1).copy()).float()
    features = layer(box_pooler([(seen[None] - 100) / 100], [Boxes(PROPOSALS)])).detach()
    scores = features[:, 0].sigmoid()
    order = [int(i) for i in scores.argsort(descending=True) if i != 2]
    boxes = np.clip(PROPOSALS.numpy() / [50, 60, 50, 60], 0, 1)
    np.testing.assert_allclose(found.boxes, boxes[order], atol=1e-6)
    np.testing.assert_allclose(found.scores, scores[order], atol=1e-6)
    assert found.features is not None
    np.testing.assert_allclose(found.features, features[order], atol=1e-5)
    assert found.classes.tolist() == [1, 1, 1]
    assert found.class_names == ("person", "bicycle")


def test_a_network_without_one_box_head_gives_the_same_boxes_without_features(zoo, tmp_path, weights, layer):
    plain = build_detectron2(configured(zoo), weights=weights).detect(FRAME)
    renamed = {name.replace("box_head.", "box_head.0."): value for name, value in named(layer).items()}
    torch.save({"model": renamed}, tmp_path / "cascade.pth")
    cascade = build_detectron2(configured(zoo, network="Cascade"), weights=str(tmp_path / "cascade.pth")).detect(FRAME)
    np.testing.assert_allclose(cascade.boxes, plain.boxes, atol=1e-6)
    assert cascade.features is None
    segmenter = build_detectron2(configured(zoo, network="Segmenter"), weights=str(tmp_path / "cascade.pth"))
    with pytest.raises(ConfigError, match="Segmenter gives sem_seg; expected a network for boxes"):
        segmenter.detect(FRAME)


def test_threshold_limit_and_names(zoo, weights):
    one = build_detectron2(configured(zoo), weights=weights, max_detections=1, class_names=("a", "b")).detect(FRAME)
    assert len(one) == 1
    assert one.class_names == ("a", "b")
    none = build_detectron2(configured(zoo), weights=weights, score_threshold=0.9999).detect(FRAME)
    assert len(none) == 0
    assert none.features is not None
    assert none.features.shape == (0, 5)


def test_weights_may_be_named_by_the_configuration(zoo, tmp_path, weights):
    (tmp_path / "own.yaml").write_text(json.dumps({"weights": weights}))
    assert len(build_detectron2(str(tmp_path / "own.yaml")).detect(FRAME)) == 3


def test_nothing_is_downloaded(zoo):
    with pytest.raises(WeightsError, match=r"'detectron2://ImageNet.* nothing is downloaded.*example\.com/plain\.pkl"):
        build_detectron2(configured(zoo))


def test_weights_that_the_file_lacks_are_named(zoo, tmp_path, layer):
    torch.save({"model": {"roi_heads.box_head.bias": layer.bias.detach()}}, tmp_path / "half.pth")
    with pytest.raises(WeightsError, match=r"lacks 1 weights .*roi_heads\.box_head\.weight\)"):
        build_detectron2(configured(zoo), weights=str(tmp_path / "half.pth"))


def test_weights_of_another_width(zoo, tmp_path):
    torch.save({"model": named(nn.Linear(3, 6))}, tmp_path / "wide.pth")
    with pytest.raises(WeightsError, match="does not fit the network"):
        build_detectron2(configured(zoo), weights=str(tmp_path / "wide.pth"))


def test_configurations_that_are_code_or_nowhere(zoo, weights):
    (zoo / "lazy.py").write_text("raise SystemExit")
    with pytest.raises(ConfigError, match="Python code are not run"):
        build_detectron2("lazy.py", weights=weights)
    with pytest.raises(ConfigError, match=r"no file none\.yaml"):
        build_detectron2("none.yaml", weights=weights)


@pytest.mark.parametrize("test_sets", [["other"], []])
def test_class_names_that_nobody_knows(zoo, weights, test_sets):
    with pytest.raises(ConfigError, match="give class_names"):
        build_detectron2(configured(zoo, test=test_sets), weights=weights)


@pytest.mark.parametrize(
    ("setting", "rule"), [({"score_threshold": 1.0}, "in \\[0, 1\\)"), ({"max_detections": 0}, "at least 1")]
)
def test_settings_out_of_range(setting, rule):
    with pytest.raises(ConfigError, match=rule):
        Detectron2Config(**setting)


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_a_frame_that_is_none(zoo, weights, frame):
    with pytest.raises(ShapeError, match="expected \\(H, W, 3\\) uint8"):
        build_detectron2(configured(zoo), weights=weights).detect(frame)


def test_without_detectron2(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(MissingDependency, match=INSTALL_PAGE):
        build_detectron2("COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml")
