"""The stages of this benchmark, registered as those of an installed package are: by entry points."""

from pathlib import Path

STAGES = {
    "breaking": "benchmarks.faults.breaking_stage:BreakingStage",
    "small_device": "benchmarks.faults.small_device:SmallDeviceClips",
}


def install(folder: Path) -> dict[str, str]:
    """Write the package's metadata into a folder; the environment in which it is installed."""
    about = folder / "longform_faults-1.dist-info"
    if not about.exists():
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: longform-faults\nVersion: 1\n")
        points = "".join(f"{name} = {target}\n" for name, target in STAGES.items())
        (about / "entry_points.txt").write_text(f"[longform.stages]\n{points}")
    return {"PYTHONPATH": str(folder)}
