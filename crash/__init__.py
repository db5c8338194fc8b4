"""The proof that a post goes out once: real processes, thousands of injected faults, the sandbox as judge.

make crash FAULTS=300 SEED=1          # a sample of the enumeration, then random overlapping faults
make crash PLANTS=1                   # the harness itself: each planted design fault must be detected
"""
