"""Nodes: ready, open to pods, of a kind that the new CNI has an image for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from migration.asking import has_closed_nodes, is_replacing_nodes, opens_nodes
from migration.models import Finding, MigrationRequest
from migration.readiness.codes import blocker, info, warning
from migration.survey import ClusterSurvey
from migration.text import listing

# Those of control planes and of Cilium come and go by themselves.
_EXPECTED: Final = ("node-role.kubernetes.io/", "node.kubernetes.io/", "node.cilium.io/")
_ARCHITECTURES: Final = ("amd64", "arm64")


def none_open(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find that no node takes pods, or that none is there, which a migration that replaces them causes itself."""
    is_replacing = is_replacing_nodes(survey, request)
    all_nodes = f"all {len(survey.nodes)} nodes"
    if not survey.nodes and is_replacing:
        yield warning(
            "no-nodes",
            "the user cluster",
            "it has no node while this migration replaces them",
            "The run waits for the new ones. If none joins, look at the Machines' events.",
        )
    elif not survey.nodes:
        yield blocker("no-nodes", "the user cluster", "it has no node", "KKP installs no application without a node.")
    elif _are_all_cordoned(survey) and opens_nodes(survey, request):
        yield warning(
            "node-cordoned",
            all_nodes,
            "they are cordoned, some by the migration that is taken back",
            "Leave them as they are: the run opens those again before it needs them.",
        )
    elif _are_all_cordoned(survey) and (is_replacing or has_closed_nodes(survey, request)):
        yield warning(
            "node-cordoned",
            all_nodes,
            "they are cordoned while this migration replaces them, and no new one is there yet",
            "Leave them as they are: pods go to the new ones, and may not be able to start here.",
        )
    elif _are_all_cordoned(survey):
        yield blocker(
            "node-cordoned",
            all_nodes,
            "they are cordoned, so no pod that is restarted finds a place",
            "Uncordon those that shall serve.",
        )


def state(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Find nodes on which the new CNI can't start, and those among others that take no pods."""
    all_cordoned = _are_all_cordoned(survey)
    for node in survey.nodes:
        subject = f"Node {node.name}"
        if not node.ready:
            yield blocker("node-not-ready", subject, "it is not Ready", "Nothing can start there: mend or remove it.")
        if node.architecture not in _ARCHITECTURES:
            yield blocker(
                "node-architecture",
                subject,
                f"architecture {node.architecture}",
                "Neither CNI is tested there by KKP: remove it, or accept this if you know better.",
            )
        if node.cordoned and not all_cordoned:
            yield warning("node-cordoned", subject, "it is cordoned", "Its pods move to other nodes if there is room.")


def taints(survey: ClusterSurvey, _request: MigrationRequest) -> Iterable[Finding]:
    """Tell of taints that keep pods away which are restarted."""
    tainted = {
        node.name: own
        for node in survey.nodes
        if (own := [key for key in node.taints if not key.startswith(_EXPECTED)])
    }
    if tainted:
        keys = sorted({key for own in tainted.values() for key in own})
        yield info(
            "node-tainted",
            f"{len(tainted)} of {len(survey.nodes)} nodes",
            f"they are tainted ({listing(keys)}): {listing(sorted(tainted))}",
            "Pods that don't tolerate it go elsewhere; see that a DaemonSet of your own needs no place there.",
        )


def _are_all_cordoned(survey: ClusterSurvey) -> bool:
    return bool(survey.nodes) and all(node.cordoned for node in survey.nodes)


RULES = (none_open, state, taints)
