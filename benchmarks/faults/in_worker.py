"""A segmentation fault, an endless loop and a memory blow-up, in a stage, on chosen videos of a run."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import plugins
from benchmarks.faults.bank_check import check_present, failures, run_again
from benchmarks.faults.breaking_stage import CRASH, EAT, LOOP, STRIKES, TRIGGERS
from benchmarks.faults.lab import SHOTS, Lab
from benchmarks.faults.log import Step, failed_steps
from benchmarks.faults.outcome import Outcome
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip

STALL_S = 10.0
"""At least: the start of a child counts too, and a machine may take longer for it."""
OPTIONS = (*SHOTS, "--only", "breaking", "--stage", "breaking", "--memory-budget", "800M")
FRAMES = 25


@dataclass(frozen=True, kw_only=True)
class _Kind:
    fault: str
    error_class: str


KINDS = {
    CRASH: _Kind(fault="segmentation fault in a stage", error_class="Crashed"),
    LOOP: _Kind(fault=f"endless loop in a stage (--stall-s {STALL_S:g})", error_class="Stalled"),
    EAT: _Kind(fault="memory blow-up in a stage (400 MiB allowed)", error_class="MemoryLimit"),
}


def break_in_worker(lab: Lab) -> list[Outcome]:
    """Each run meets all kinds; of its videos a third breaks it, at a random frame. The next run has no bug."""
    outcomes = {
        kind: Outcome(fault=about.fault, timed="until the run has it as a failed step") for kind, about in KINDS.items()
    }
    subject = lab.subject("breaking", OPTIONS, _videos(lab), plugins.install(lab.folder / "site"))
    stall_s = max(STALL_S, round(subject.wall_s))
    moments = lab.random("in-worker")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in subject.videos.iterdir()}
    for _ in range(lab.times(3, 1)):
        folder = lab.new_folder("breaking")
        bank, log = folder / "bank", folder / "log.jsonl"
        chosen = moments.sample(sorted(digests), len(digests) // 3)
        kinds = {digest: list(KINDS)[i % len(KINDS)] for i, digest in enumerate(chosen)}
        triggers = {digest: [kind, moments.randrange(FRAMES)] for digest, kind in kinds.items()}
        (folder / "triggers.json").write_text(json.dumps(triggers))
        told = {TRIGGERS: str(folder / "triggers.json"), STRIKES: str(folder / "strikes.jsonl")}
        run = lab.start(subject, bank, ["--log", str(log), "--stall-s", f"{stall_s:g}"], told)
        for outcome in outcomes.values():
            outcome.videos += subject.count
        if not lab.ends(run, subject.deadline_s, outcomes[LOOP]):
            continue
        poisoned = {digests[digest]: kind for digest, kind in kinds.items()}
        _count_strikes(folder / "strikes.jsonl", outcomes, digests, failed_steps(log))
        _check_failures(bank, poisoned, outcomes)
        for kind, about in KINDS.items():
            outcomes[kind].user_sees = lab.quote(run.said, f"{about.error_class}: .*")
        check_present(bank, subject, outcomes[CRASH], "in the run of the faults")
        run_again(lab, outcomes[CRASH], subject, bank)
    return list(outcomes.values())


def _videos(lab: Lab) -> Path:
    folder = lab.folder / "short"
    folder.mkdir()
    for i in range(lab.times(36, 9)):
        make_clip(folder / f"{i}.mp4", seconds=FRAMES / 25, size_hw=(48, 64), shots=1, seed=i, coding=Coding(gop=12))
    return folder


def _count_strikes(strikes: Path, outcomes: dict[str, Outcome], digests: dict[str, str], steps: list[Step]) -> None:
    """A fault struck if the stage said so, right before."""
    ends = {step.video_id: step for step in steps}
    for line in strikes.read_text().splitlines():
        strike = json.loads(line)
        step = ends[digests[strike["sha256"]]]
        outcomes[strike["kind"]].strike(f"in {step.step}", step.time - strike["time"])


def _check_failures(bank: Path, poisoned: dict[str, str], outcomes: dict[str, Outcome]) -> None:
    """Exactly the poisoned videos have failed, each for its own reason."""
    failed = failures(bank)
    for video_id, kind in poisoned.items():
        expected = f"breaking: {KINDS[kind].error_class}:"
        if not failed.get(video_id, "").startswith(expected):
            outcomes[kind].lost.append(f"{video_id}: got {failed.get(video_id)!r}, expected {expected!r}")
    innocent = failed.keys() - poisoned.keys()
    outcomes[CRASH].lost += [f"{video_id} failed beside the poisoned ones: {failed[video_id]}" for video_id in innocent]
