"""What a sweep found, read from its store: no drawing, no workers, and no code of the trainer's.

layout.py     a grid as arrays: which value each combination has, in which order cells stand
gather.py     outcomes laid out in tables
aggregate.py  what a report says: cells, ranks, main effects, curves
ranking.py    combinations, best first
curves.py     metrics by epoch of the best and the worst
standings.py  the best so far
failures.py   failures by kind
lookup.py     cells by id, rank or parameters
lines.py      cells and failures as lines for a terminal
"""
