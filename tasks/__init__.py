"""The runbooks' steps as Prefect tasks: a name, a retry policy, one call down.

Every process that runs them passes here, so this is where connections learn of those that are Prefect blocks.
"""

from tasks.saved_blocks import register

register()
