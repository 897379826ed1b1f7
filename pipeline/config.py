"""The resolved configuration of a run: which stages, how videos are cut and decoded, and the limits."""

import importlib.metadata
from dataclasses import dataclass, field

from pipeline.errors import ConfigError
from pipeline.isolation import Limits
from pipeline.stages import Stage
from pipeline.video.decode import BACKENDS
from pipeline.video.limits import STANDARD_LIMITS, VideoLimits

ENTRY_POINT_GROUP = "longform.stages"


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Everything that decides what a run computes, and how."""

    preset: str
    stages: tuple[Stage, ...]
    """Each after the stages it needs."""
    segment_s: float = 120.0
    """Length at which long videos are cut, at the next key frame."""
    decoder: str = "pyav"
    decode_threads: int = 1
    """Threads of one decoder; workers give the parallelism."""
    limits: Limits = field(default_factory=Limits)
    """Of a worker process."""
    video_limits: VideoLimits = STANDARD_LIMITS
    """Larger videos fail."""

    def __post_init__(self) -> None:
        if self.decoder not in BACKENDS:
            raise ConfigError(f"Unknown decoder {self.decoder!r}. Choose one of: {', '.join(BACKENDS)}.")
        if not self.segment_s > 0:
            raise ConfigError(f"--segment-s must be above 0: got {self.segment_s}.")
        known: set[str] = set()
        for stage in self.stages:
            if stage.name in known:
                raise ConfigError(f"Two stages are named {stage.name!r}. Give one of them another name.")
            if missing := set(stage.needs) - known:
                raise ConfigError(
                    f"Stage {stage.name!r} needs {', '.join(sorted(missing))}, which do not run before it."
                )
            known.add(stage.name)

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def describe(self) -> dict:
        """The configuration as plain JSON values, as it stands in the bank's list of runs."""
        return {
            "preset": self.preset,
            "stages": [stage.settings() for stage in self.stages],
            "segment_s": self.segment_s,
            "decoder": self.decoder,
        }


def registered_stage(name: str) -> Stage:
    """A stage that an installed package offers under `name`.

    Raises:
        ConfigError: no package offers it; the message lists those that are there.
    """
    offered = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    if name not in offered:
        known = ", ".join(sorted(offered)) or "none is installed"
        raise ConfigError(f"No installed package registers a stage {name!r} (registered: {known}).")
    stage = offered[name].load()()
    if not isinstance(stage, Stage):
        raise ConfigError(f"Entry point {name!r} gives {type(stage).__name__}, expected a pipeline.stages.Stage.")
    return stage
