"""Named configurations of a run. A preset is a function; variants derive from it."""

import dataclasses
import typing
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.config import ExtractConfig, registered_stage
from pipeline.errors import ConfigError
from pipeline.stages import Stage

HOG_SURE_ENOUGH = 0.6
"""Score of a HOG box from which it may be part of a track; its false alarms are mostly at 0.45 to 0.58."""


def builtin() -> tuple[Stage, ...]:
    """Stages that need no download: PySceneDetect shots, HOG people, HOG+HOF clips, IoU and colour tracks."""
    from extractors.tracking.linker import LinkConfig
    from pipeline.features.clips import ClipStage
    from pipeline.features.people import PeopleStage
    from pipeline.features.shots import ShotStage
    from pipeline.features.tracks import TrackStage

    return ShotStage(), PeopleStage(), ClipStage(), TrackStage(LinkConfig(min_score=HOG_SURE_ENOUGH))


PRESETS: dict[str, Callable[[], tuple[Stage, ...]]] = {"builtin": builtin}


def build_config(
    preset: str = "builtin",
    *,
    only: Iterable[str] = (),
    extra: Iterable[str] = (),
    settings: Iterable[str] = (),
    **options: Any,
) -> ExtractConfig:
    """The configuration of `preset`, changed as asked.

    Args:
        only: names of the stages to keep (with those they need); all when empty.
        extra: names of registered stages to add.
        settings: `STAGE.FIELD=VALUE`, such as `clips.hop_s=0.5`.
        options: further fields of `ExtractConfig`.
    Raises:
        ConfigError: an unknown preset, stage or field, or a value that does not fit.
    """
    if preset not in PRESETS:
        raise ConfigError(f"Unknown preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    stages = [*PRESETS[preset](), *(registered_stage(name) for name in extra)]
    stages = _keep(stages, set(only))
    for setting in settings:
        _apply(stages, setting)
    return ExtractConfig(preset=preset, stages=tuple(stages), **options)


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
