"""A long-form world to test in: small movies whose nine labels follow from long-range structure (see README.md).

    from benchmarks.lvu.synthetic import SPACE, write_bank_world

    world = write_bank_world("world", videos=600, unlabelled=1000, seed=0)

writes `world/bank` (a feature bank: videos, shots, detections, tracks, and `SPACE`, person features of 2304 channels,
once a second), `world/lvu_1.0/<task>/{train,val,test}.csv` (all labelled movies in the files of all nine tasks, for
`longform.datasets.lvu.read_split`), `world/teacher.safetensors` (the linear classifier of 80 actions, for
`read_short_term_classifier`), and `world/world.json` (the configuration). A track ends with its shot.
"""

from benchmarks.lvu.synthetic.banks import SPACE, BankWorld, WorldConfig, write_bank_world

__all__ = ["SPACE", "BankWorld", "WorldConfig", "write_bank_world"]
