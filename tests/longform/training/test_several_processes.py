"""Two processes under torchrun: the weights of one process on the same batch, and one writer."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from longform.training.loop import BEST, FINAL, train
from tests.conftest import REPOSITORY
from tests.longform.training.tiny import Clusters, settings

SCRIPT = """
import sys
from pathlib import Path
from longform.training.loop import train
from tests.longform.training.tiny import Clusters, settings
train(Clusters(batch=7, dropout=0.0), settings(), Path(sys.argv[1]))
"""


def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    """A batch of 7, so that the two have 4 and 3 examples; one parameter is used by no process."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(tmp_path / "script.py"), str(tmp_path / "two")]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    train(Clusters(batch=7, dropout=0.0), settings(), tmp_path / "one")
    for name in (BEST, FINAL):
        one, two = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=0, atol=1e-6)
    rows = losses(tmp_path / "one")
    assert len(rows) == 14
    torch.testing.assert_close(losses(tmp_path / "two"), rows, rtol=0, atol=1e-5)


def losses(run: Path) -> torch.Tensor:
    """Step, rate, loss, share of right answers and gradient norm of each row."""
    rows = (run / "log.csv").read_text().splitlines()[1:]
    return torch.tensor([[float(value) for value in row.split(",")[:5]] for row in rows])
