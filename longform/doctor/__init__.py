"""`longform doctor`: what of this machine and installation works, what does not, and what to do about it."""
