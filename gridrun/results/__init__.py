"""What a sweep found, read from its store: no drawing, no workers, and no code of the trainer's.

layout.py     a grid as arrays: which value each combination has, in which order cells stand
gather.py     outcomes laid out in tables
aggregate.py  what a report says: cells, ranks, main effects, curves
ranking.py    combinations, best first
answer.py     what all of it says: the best, the chosen one, what is tied
axes.py       what each axis does, and what budgets agree on
edges.py      where the best lies at an end, and what to try next
costs.py      what cells took: all that differs from run to run
curves.py     metrics by epoch of the best and the worst
standings.py  the best so far
failures.py   failures by kind
frames.py     what each axis does, as pandas tables
lookup.py     cells by id, rank or parameters
lines.py      cells and failures as lines for a terminal
"""
