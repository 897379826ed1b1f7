"""Our clip networks against the code that published their weights, for every weight card of the families.

Nothing of the originals is in here: they run from checkouts that the user gives.
"""
