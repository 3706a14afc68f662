"""The pages of runs: the list, one run, and the two tabs of an agent that are about runs."""
