"""The rules of a roll-out over many user clusters: which ones, in which order, and what happens next. Pure.

What a roll-out knows it reads from its child runs and from the clusters' journals (docs/adr/0017): nothing here has a
memory of its own.
"""
