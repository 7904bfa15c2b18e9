"""The rules of a migration: models, readiness, plans, journal, errors. Pure: no clock, no network, no Prefect."""
