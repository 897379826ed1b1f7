"""Two processes under torchrun have the groups of clips, and so the statistics and the weights, of one."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from longform.training.checkpoints import MODEL
from longform.training.loop import FINAL, train
from tests.conftest import REPOSITORY
from tests.longform.clip_training.test_task import SHAPE, arrays, settings, task_of

SCRIPT = """
import sys
from pathlib import Path
from longform.training.loop import train
from tests.longform.clip_training.test_task import arrays, settings, task_of
task = task_of(arrays(24), arrays(4, 1000), steps=1, precise=1)
train(task, settings(task), Path(sys.argv[1]))
"""


def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    """16 clips in groups of 8: clips k and k + 2 are together in either case."""
    assert SHAPE.batch == 2 * SHAPE.bn_clips
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(tmp_path / "script.py"), str(tmp_path / "two")]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    task = task_of(arrays(24), arrays(4, 1000), steps=1, precise=1)
    train(task, settings(task), tmp_path / "one")
    begin = load_file(tmp_path / "one" / "checkpoints" / "step-00000000" / MODEL)
    one, two = load_file(tmp_path / "one" / FINAL), load_file(tmp_path / "two" / FINAL)
    names = [name for name, _ in task.model.named_parameters()]
    moved = torch.cat([(one[name] - begin[name]).flatten() for name in names])
    apart = torch.cat([(one[name] - two[name]).flatten() for name in names])
    assert moved.norm() > 0.01
    assert apart.norm() < 1e-3 * moved.norm()
