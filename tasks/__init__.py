"""The runbooks' steps as Prefect tasks: a name, a retry policy, one call down."""
