"""Generated videos of known motion and appearance: data to train and to test clip networks with, from a seed.

python -m benchmarks.motions --out DIR --videos N --seed S
"""
