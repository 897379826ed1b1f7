"""How the weights of `slowfast_compact` in the package are made, and what they are worth.

python -m benchmarks.builtin_network train --out DIR [--device cuda]
python -m benchmarks.builtin_network export --run DIR
python -m benchmarks.builtin_network evaluate --videos DIR
"""
