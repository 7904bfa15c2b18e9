"""An embedded KKP: seeds, user clusters and the controllers that make them behave, in one process.

The lab is reached like the real platform, by kubeconfigs and HTTP alone. Nothing in here imports the
product (`flows`, `tasks`, `clusters`, `migration`), and the product has no branch for the lab.
"""
