"""Named configurations of a run. A preset is a function; variants derive from it."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import ExtractConfig, registered_stage
from pipeline.errors import ConfigError
from pipeline.stages import Stage

if TYPE_CHECKING:
    from extractors.detector_source import DetectorSource
    from extractors.networks import NetworkSource
    from extractors.runtime import Runtime
    from pipeline.features.boxes import BoxStage

OWN, SHARED = "own", "shared"

HOG_SURE_ENOUGH = 0.6
"""Score of a HOG box from which it may be part of a track; its false alarms are mostly at 0.45 to 0.58."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Which weights a preset's networks get, and how they run."""

    weights: tuple[str, ...] = ()
    """Name of a weight card, path of a file, or `untrained`, for all networks; `ROLE=` before it means one of them.
    What is not named has the preset's own weights."""
    device: str = "cpu"
    precision: str = "fp32"
    compile: bool = False
    inference: str = OWN
    """`own`: each child process has its copy of a network; `shared`: each device has one, for all of them."""
    elsewhere: bool = False
    """Networks run on other machines than this one."""

    def weights_of(self, own: Mapping[str, str]) -> dict[str, str]:
        """The weights of each role of a preset, whose own are `own`."""
        named = dict(own)
        for words in self.weights:
            role, equals, weights = words.partition("=")
            if equals and role in own:
                named[role] = weights
            elif len(own) == 1 or words == UNTRAINED:
                named = dict.fromkeys(own, words)
            else:
                raise ConfigError(
                    f"--weights {words}: this preset has several networks. Say which one: "
                    f"{', '.join(f'--weights {role}={words}' for role in own)}."
                )
        return named

    def runtime(self) -> "Runtime":
        """How the networks run."""
        from extractors.runtime import Runtime

        return Runtime(
            device=self.device,
            precision=self.precision,
            compile=self.compile,
            shared=self.inference == SHARED,
            elsewhere=self.elsewhere,
        )


UNTRAINED = "untrained"

Preset = Callable[[NetworkOptions], tuple[Stage, ...]]


BUILTIN_NETWORK = {"clips": "slowfast_compact_motions"}
"""A network whose weights come with this program."""


def builtin(networks: NetworkOptions) -> tuple[Stage, ...]:
    """Stages that need no download: PySceneDetect shots, HOG people, clips of a small network, tracks."""
    from extractors.networks import network_source
    from extractors.weights.cards import CARDS
    from pipeline.features.networks import NetworkClipConfig, NetworkClipStage

    own = BUILTIN_NETWORK["clips"]
    source = network_source(CARDS[own].model, networks.weights_of(BUILTIN_NETWORK)["clips"])
    source.build()  # a file that does not fit is an error now, not one of every video
    return _without_download(NetworkClipStage(source, networks.runtime(), NetworkClipConfig(scaler="decoder")))


def hoghof(networks: NetworkOptions) -> tuple[Stage, ...]:
    """As `builtin`, with HOG + HOF descriptors of clips: nothing in it is learned, and torch is not needed."""
    from pipeline.features.clips import ClipStage

    networks = dataclasses.replace(networks, elsewhere=False)
    if networks != NetworkOptions():
        given = [field.name for field in dataclasses.fields(networks) if getattr(networks, field.name) != field.default]
        raise ConfigError(
            f"Preset 'hoghof' runs no network, so it takes no --{' and no --'.join(given)}. "
            f"Presets that do: {', '.join(name for name in PRESETS if name != 'hoghof')}."
        )
    return _without_download(ClipStage())


def _without_download(clips: Stage) -> tuple[Stage, ...]:
    from extractors.tracking.linker import LinkConfig
    from pipeline.features.people import PeopleStage
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    people = PeopleStage()
    return ShotStage(), people, clips, TrackStage(LinkConfig(min_score=HOG_SURE_ENOUGH), [people])


def network_clips(model: str, weights: str = "") -> Preset:
    """Shots, and a clip feature of one network every second; `weights` unless the user names others."""

    def preset(networks: NetworkOptions) -> tuple[Stage, ...]:
        from extractors.networks import cards_for, network_source
        from pipeline.features.networks import NetworkClipStage
        from pipeline.features.shots import ShotStage

        named = networks.weights_of({"clips": weights})["clips"]
        if not named:
            known = ", ".join(cards_for(model)) or "none is known for it"
            raise ConfigError(
                f"Preset {model!r} needs --weights: a checkpoint of `longform weights list` ({known}), a weight file, "
                "or 'untrained'."
            )
        source = network_source(model, named)
        source.build()  # a file that does not fit is an error now, not one of every video
        return ShotStage(), NetworkClipStage(source, networks.runtime())

    return preset


PERSON_DETECTOR = {"people": "keypoint_rcnn_x101_fpn_ava_lfb"}
"""Of the LFB work: the person detector of AVA, LFB and, by its thesis, LVU."""

ACTION_NETWORK = {"actions": "slowfast_16x8_r101_nl_ava"}
OBJECT_DETECTOR = {"objects": "faster_rcnn_r101_fpn_3x_d2"}
SURE_PERSON = 0.8
"""Score from which AVA's boxes are used (SlowFast, section 5)."""

SURE_OBJECT = 0.5
"""Not published for LVU; Detectron2's own choice for showing boxes."""


def ava(networks: NetworkOptions) -> tuple[Stage, ...]:
    """People once a second, what they do, and the features that say so: boxes, action scores, person features."""
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    people = _people(networks, networks.weights_of(PERSON_DETECTOR | ACTION_NETWORK))
    return ShotStage(), people, TrackStage(boxes=[people])


def lvu(networks: NetworkOptions) -> tuple[Stage, ...]:
    """What Object Transformers read: as `ava`, and objects with the features of their detector, in tracks and shots."""
    from extractors.detector_source import detector_source
    from pipeline.features.boxes import BoxConfig, BoxStage
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    weights = networks.weights_of(PERSON_DETECTOR | ACTION_NETWORK | OBJECT_DETECTOR)
    people = _people(networks, weights)
    config = BoxConfig(min_score=SURE_OBJECT, drop=("person",), first_place=500)
    detector = detector_source("faster_rcnn_r101_fpn", weights["objects"])
    objects = BoxStage("objects", detector, networks.runtime(), config, kind="object", feature_dim=1024)
    return ShotStage(), people, objects, TrackStage(boxes=[people, objects])


def _people(networks: NetworkOptions, weights: Mapping[str, str]) -> "BoxStage":
    from extractors.networks import network_source
    from pipeline.features.boxes import BoxConfig, BoxStage

    actions = network_source("ava_slowfast_16x8_r101_nl", weights["actions"])
    config = BoxConfig(min_score=SURE_PERSON, keep=("person",))
    return BoxStage("people", _person_detector(weights["people"]), networks.runtime(), config, actions=actions)


def _person_detector(weights: str) -> "DetectorSource":
    """The detector of `weights`; `hog` and `hf:...` are detectors that bring their own."""
    from extractors.detector_source import HUGGING_FACE, detector_source

    if weights == "hog" or weights.startswith(HUGGING_FACE):
        return detector_source(weights)
    return detector_source("faster_rcnn_x101_fpn", weights)


LFB_SURE_PERSON = 0.9
"""Score from which a person's features are in the bank of AVA."""

LFB_NETWORKS = {
    "lfb-ava": "r50_ava_nl_bank_lfb",
    "lfb-epic-verb": "r50_verbs_nl_bank_lfb",
    "lfb-charades": "r50_charades_nl_bank_lfb",
}
"""Of each preset the weight card of the network that writes the bank."""

FIRST_EPIC_CLIP_S = 1.0
"""Frames of EPIC-Kitchens count from 1, and the first one whose number 30 divides is at 1 s."""

FIRST_CHARADES_CLIP_S = 11 / 24
"""Clips are centred on the frames i, from 0 at 24 frames/s, for which 12 divides i + 1."""

EPIC_NOUNS: dict[str, Any] = {
    "body": "x101_64x4d",
    "fpn_channels": 512,
    "feature_dim": 2048,
    "num_classes": 352,
    "convention": "detectron",
}
"""The object detector of Long-Term Feature Banks on EPIC-Kitchens (Wu et al., CVPR 2019)."""

EPIC_OBJECTS_PER_FRAME = 10


def lfb_ava(networks: NetworkOptions) -> tuple[Stage, ...]:
    """The bank of Long-Term Feature Banks for AVA: features of sure people once a second, from the centre crop."""
    from pipeline.features.boxes import BoxConfig, BoxStage
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    own = LFB_NETWORKS["lfb-ava"]
    weights = networks.weights_of(PERSON_DETECTOR | {"actions": own})
    config = BoxConfig(min_score=LFB_SURE_PERSON, keep=("person",), view="centre")
    detector, actions = _person_detector(weights["people"]), _lfb_network(weights["actions"], own)
    people = BoxStage("people", detector, networks.runtime(), config, actions=actions)
    return ShotStage(), people, TrackStage(boxes=[people])


def lfb_epic_verb(networks: NetworkOptions) -> tuple[Stage, ...]:
    """The bank for EPIC-Kitchens verbs: a clip a second."""
    return _lfb_clips(networks, LFB_NETWORKS["lfb-epic-verb"], first_s=FIRST_EPIC_CLIP_S)


def lfb_charades(networks: NetworkOptions) -> tuple[Stage, ...]:
    """The bank for Charades: two clips a second."""
    return _lfb_clips(networks, LFB_NETWORKS["lfb-charades"], first_s=FIRST_CHARADES_CLIP_S, hop_s=0.5)


def lfb_epic_noun(networks: NetworkOptions) -> tuple[Stage, ...]:
    """The bank for EPIC-Kitchens nouns: the ten surest objects once a second, with the features of their detector."""
    from pipeline.features.boxes import BoxConfig, BoxStage
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    weights = networks.weights_of({"objects": ""})["objects"]
    if not weights:
        raise ConfigError(
            "Preset 'lfb-epic-noun' needs --weights FILE: its authors published the features of their object detector "
            "and not its weights. FILE is a Faster R-CNN X101-64x4d-FPN over the 352 nouns, any other detector saved "
            "by this program, or the name of a detector's weight card. `longform import lfb-epic-noun` reads the "
            "published features instead."
        )
    detector, feature_dim = _object_detector(weights)
    config = BoxConfig(max_boxes=EPIC_OBJECTS_PER_FRAME)
    objects = BoxStage("objects", detector, networks.runtime(), config, kind="object", feature_dim=feature_dim)
    return ShotStage(), objects, TrackStage(boxes=[objects])


def _object_detector(weights: str) -> tuple["DetectorSource", int]:
    """The detector of a card, of a file that says how it was built, or that of EPIC's nouns; its feature's size."""
    from extractors.detector_source import detector_source
    from extractors.detectors.faster_rcnn import FasterRCNNConfig
    from extractors.networks import stated_network
    from extractors.weights.cards import CARDS

    if weights in CARDS:
        name, options = CARDS[weights].model, dict(CARDS[weights].options)
    else:
        name, options = stated_network(weights) or ("faster_rcnn_x101_fpn", EPIC_NOUNS)
    return detector_source(name, weights, **options), options.get("feature_dim", FasterRCNNConfig.feature_dim)


def _lfb_clips(networks: NetworkOptions, own: str, **grid: Any) -> tuple[Stage, ...]:
    from pipeline.features.networks import NetworkClipConfig, NetworkClipStage
    from pipeline.features.shots import ShotStage

    source = _lfb_network(networks.weights_of({"clips": own})["clips"], own)
    return ShotStage(), NetworkClipStage(source, networks.runtime(), NetworkClipConfig(**grid))


def _lfb_network(weights: str, own: str) -> "NetworkSource":
    """The network of `weights`: of a card, of a file that says how it was built, or that of the card `own`.

    A network without a card sees clips as the one of `own` does; one that was built for other numbers of frames
    (`sampling`) or another size (`crop_px`) gets those.
    """
    from extractors.networks import network_source, stated_network
    from extractors.weights.cards import CARDS

    if weights in CARDS:
        source = network_source(None, weights)
    else:
        card = CARDS[own]
        assert card.input is not None
        name, options = stated_network(weights) or (card.model, dict(card.options))
        source = network_source(name, weights, **options)
        built_for = source.input if "sampling" in options else card.input
        spec = dataclasses.replace(card.input, num_frames=built_for.num_frames, stride=built_for.stride)
        if side_px := options.get("crop_px"):
            spec = dataclasses.replace(spec, short_side_px=side_px, crop_px=side_px)
        source = dataclasses.replace(source, input=spec)
    source.build()  # a file that does not fit is an error now, not one of every video
    return source


def text(networks: NetworkOptions) -> tuple[Stage, ...]:
    """Shots, and a frame every second in the space of a model that knows texts too: `--weights frames=hf:FOLDER`."""
    from extractors.image_text import image_text_source
    from pipeline.features.image_text import ImageTextStage
    from pipeline.features.shots import ShotStage

    source = image_text_source(networks.weights_of({"frames": ""})["frames"])
    source.build(networks.runtime())  # a model that cannot be used is an error now, not one of every video
    return ShotStage(), ImageTextStage(source, networks.runtime())


def compressed(networks: NetworkOptions) -> tuple[Stage, ...]:
    """A feature of each group of pictures, from I-frame, motion vectors and residual; few frames are decoded."""
    from extractors.coviar_source import stream_source
    from pipeline.features.compressed import CompressedStage

    weights = networks.weights_of(dict.fromkeys(("iframe", "motion", "residual"), ""))
    if missing := [stream for stream, name in weights.items() if not name]:
        raise ConfigError(
            f"Preset 'compressed' needs {' '.join(f'--weights {stream}=FILE' for stream in missing)}: nobody published "
            "weights of CoViAR. longform train coviar makes them; --weights untrained runs networks that were never "
            "trained."
        )
    sources = {stream: stream_source(stream, name) for stream, name in weights.items()}
    for source in sources.values():
        source.build()  # a file that does not fit is an error now, not one of every video
    return (CompressedStage(sources, networks.runtime()),)


PRESETS: dict[str, Preset] = {
    "builtin": builtin,
    "hoghof": hoghof,
    "ava": ava,
    "lvu": lvu,
    "text": text,
    "lfb-ava": lfb_ava,
    "lfb-epic-verb": lfb_epic_verb,
    "lfb-epic-noun": lfb_epic_noun,
    "lfb-charades": lfb_charades,
    "slowfast_4x16_r50": network_clips("slowfast_4x16_r50", "slowfast_4x16_r50_k400"),
    "slowfast_8x8_r50": network_clips("slowfast_8x8_r50", "slowfast_8x8_r50_k400"),
    "slow_8x8_r50": network_clips("slow_8x8_r50", "slow_8x8_r50_k400"),
    "i3d_nl_r50": network_clips("i3d_nl_r50", "i3d_nl_8x8_r50_k400"),
    "i3d": network_clips("i3d", "i3d_rgb_imagenet_k400_piergiaj"),
    "s3d": network_clips("s3d", "s3d_k400_tv"),
    "compressed": compressed,
}
"""Named sets of stages. Presets with one network over clips have the network's name."""


def build_config(
    preset: str = "builtin",
    *,
    only: Iterable[str] = (),
    extra: Iterable[str] = (),
    settings: Iterable[str] = (),
    networks: NetworkOptions | None = None,
    **options: Any,
) -> ExtractConfig:
    """The configuration of `preset`, changed as asked.

    Args:
        only: names of the stages to keep (with those they need); all when empty.
        extra: names of registered stages to add.
        settings: `STAGE.FIELD=VALUE`, such as `clips.hop_s=0.5`.
        networks: weights, device and precision, for presets with networks.
        options: further fields of `ExtractConfig`.
    Raises:
        ConfigError: an unknown preset, stage or field, or a value that does not fit.
    """
    stages = [*_called(preset)(networks or NetworkOptions()), *(registered_stage(name) for name in extra)]
    stages = _keep(stages, set(only))
    for setting in settings:
        _apply(stages, setting)
    return ExtractConfig(preset=preset, stages=tuple(stages), **options)


def _called(name: str) -> Preset:
    """The preset of a name; every other network over clips is one too, without weights of its own."""
    if name in PRESETS:
        return PRESETS[name]
    from extractors.backbones.catalog import COMPRESSED, backbone_names

    if name in backbone_names() and name not in COMPRESSED:
        return network_clips(name)
    raise ConfigError(
        f"Unknown preset {name!r}. Choose one of: {', '.join(PRESETS)}; or another network that "
        "`longform complexity` lists."
    )


def _keep(stages: list[Stage], only: set[str]) -> list[Stage]:
    if unknown := only - {stage.name for stage in stages}:
        raise ConfigError(f"Unknown stage {', '.join(sorted(unknown))}. {_known(stages)}")
    wanted = set(only) or {stage.name for stage in stages}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted |= set(stage.needs)
    return [stage for stage in stages if stage.name in wanted]


def _known(stages: Iterable[Stage]) -> str:
    return f"Stages of this run: {', '.join(stage.name for stage in stages)}."


def _apply(stages: list[Stage], setting: str) -> None:
    """Set one field of one stage's config, in place of the stage."""
    path, equals, value = setting.partition("=")
    name, *fields = path.split(".")
    if not equals or not fields:
        raise ConfigError(f"--set takes STAGE.FIELD=VALUE: got {setting!r}.")
    place = next((i for i, stage in enumerate(stages) if stage.name == name), None)
    if place is None:
        raise ConfigError(f"--set {setting}: no stage {name!r}. {_known(stages)}")
    stages[place] = stages[place].with_config(_replaced(stages[place].config, fields, value, setting))


def _replaced(config: Any, fields: list[str], value: str, setting: str) -> Any:
    """`config` with the field at the path `fields` set to `value`, read as the type of the field."""
    hints = typing.get_type_hints(type(config)) if dataclasses.is_dataclass(config) else {}
    names = [field.name for field in dataclasses.fields(config)] if hints else []
    if fields[0] not in names:
        raise ConfigError(f"--set {setting}: no field {fields[0]!r}. It has: {', '.join(names)}.")
    old = getattr(config, fields[0])
    if len(fields) > 1:
        new = _replaced(old, fields[1:], value, setting)
    else:
        new = _parsed(value, hints[fields[0]], old, setting)
    try:
        return dataclasses.replace(config, **{fields[0]: new})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--set {setting}: {error}") from error


def _parsed(value: str, hint: Any, old: Any, setting: str) -> Any:
    """`value` as the type that a field has; detectors of `shots` as `KIND:FIELD=VALUE:...,KIND...`."""
    if isinstance(old, tuple) and old and dataclasses.is_dataclass(old[0]):
        return tuple(_detector(text, setting) for text in value.split(","))
    if value.lower() == "none" and type(None) in typing.get_args(hint):
        return None
    if isinstance(old, bool):
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"--set {setting}: expected true or false.")
        return value.lower() == "true"
    try:
        if isinstance(old, tuple):
            return tuple(type(old[0])(part) for part in value.split(","))
        kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind in (int, float, str)]
        return next(iter(kinds), type(old))(value)
    except ValueError as error:
        raise ConfigError(f"--set {setting}: {error}.") from error


def _detector(text: str, setting: str) -> Any:
    from extractors.shots import config as shots

    kinds = {
        "content": shots.ContentConfig,
        "adaptive": shots.AdaptiveConfig,
        "threshold": shots.ThresholdConfig,
        "histogram": shots.HistogramConfig,
        "hash": shots.HashConfig,
    }
    kind, *fields = text.split(":")
    if kind not in kinds:
        raise ConfigError(f"--set {setting}: unknown detector {kind!r}. Choose from: {', '.join(kinds)}.")
    config = kinds[kind]()
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: detector fields are NAME=VALUE, got {field!r}.")
        config = _replaced(config, [name], value, setting)
    return config
