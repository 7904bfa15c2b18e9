"""What evidence there is of a migration, and how to fetch it, as Markdown for the Prefect UI. Pure."""

from __future__ import annotations

from collections import Counter

from migration.evidence import Evidence
from migration.markdown import cell, table


def to_summary(found: Evidence) -> str:
    """Return the summary."""
    migration, cluster = found.migration, found.cluster
    command = (
        f"python -m deployments.evidence --seed {cluster.seed} --cluster {cluster.name} --migration {migration.id}"
    )
    what = (
        f"{len(found.changes) + found.not_listed} changes are recorded in the user cluster, beside the journal "
        f"(Secrets in kube-system labelled `cni-migration/evidence={migration.id}`), with the plan of the start, "
        "approvals, the outcome of each step and this run's report. As one file that opens in any browser:"
    )
    sections = (
        f"# {cluster.name}: evidence of migration {migration.id}",
        what,
        f"```\n{command} --output evidence.html\n```",
        _by_step(found),
        "\n".join(f"- {cell(gap)}" for gap in found.gaps),
    )
    return "\n\n".join(section for section in sections if section)


def _by_step(found: Evidence) -> str:
    counted = Counter((change.step, change.verb, change.kind, change.where) for change in found.changes)
    rows = [(step, where, f"{verb} {kind}", str(count)) for (step, verb, kind, where), count in counted.items()]
    return table(("Step", "Where", "What", "How often"), rows) if rows else ""
