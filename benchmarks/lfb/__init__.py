"""A controlled experiment on Long-Term Feature Banks: generated banks in which it is known what a label depends on.

`README.md` beside this file tells the results. `movies.py` and `kitchens.py` make the banks, `conditions.py` lists what
is compared, `experiment.py` trains and measures, `tables.py` and `plots.py` write the README from the stored results.
"""
