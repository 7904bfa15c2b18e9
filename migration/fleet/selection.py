"""Which user clusters take part in a roll-out: what the operator chose, of what the seeds have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

from migration.errors import InvalidRequest
from migration.facts import ListedCluster
from migration.fleet.label_selectors import parse_selector
from migration.fleet.looks import Look, Need
from migration.fleet.models import FleetOrder, Selection
from migration.models import ClusterRef, Runbook
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.text import listing

Predicate = Callable[[ListedCluster], bool]


def select(listed: Sequence[ListedCluster], order: FleetOrder) -> tuple[ListedCluster, ...]:
    """Return the clusters that may take part, by seed and name. Raises InvalidRequest for names that no seed has.

    A cluster with the label that a migration leaves until its end may be in the middle of this one, whatever CNI its
    spec has by now: it is kept until it was looked at (`confirmed`).
    """
    chosen = order.selection
    named, excluded = _refs(chosen.names, listed, "names"), _refs(chosen.excluded, listed, "excluded")
    if both := sorted(str(ref) for ref in named & excluded):
        raise InvalidRequest(f"{listing(both)} stands in names and in excluded: take it out of one of them")
    conditions = _conditions(chosen)
    _require_a_match(listed, chosen)
    found = [
        cluster
        for cluster in listed
        if cluster.ref not in excluded
        and (cluster.ref in named if named else _sets_out(cluster, order))
        and all(holds(cluster) for holds in conditions)
    ]
    return tuple(sorted(found, key=lambda cluster: str(cluster.ref)))


def refuse_twins(listed: Iterable[ListedCluster]) -> None:
    """Raise InvalidRequest if two connections show the same cluster: it would be migrated, and counted, twice.

    KKP's REST API tells no uid; there the cluster's ID and its project have to do, which KKP draws by chance.
    """
    known: dict[tuple[str, str], list[ListedCluster]] = {}
    for cluster in listed:
        seen = known.setdefault((cluster.ref.name, cluster.project), [])
        if twin := next((other for other in seen if _may_be_one(other, cluster)), None):
            raise InvalidRequest(
                f"the connections {twin.ref.seed} and {cluster.ref.seed} lead to the same clusters: both have "
                f"{cluster.ref.name}. Leave one of them out of seeds"
            )
        seen.append(cluster)


def _may_be_one(cluster: ListedCluster, other: ListedCluster) -> bool:
    return cluster.ref != other.ref and (not (cluster.uid and other.uid) or cluster.uid == other.uid)


def _require_a_match(listed: Sequence[ListedCluster], chosen: Selection) -> None:
    """Raise InvalidRequest if nothing fits what is asked of all clusters: a slip of the pen is no finished fleet.

    CNI versions are none of it, for a migration changes them.
    """
    if not listed or any(all(holds(cluster) for holds in _lasting(chosen).values()) for cluster in listed):
        return
    alone = [field for field, holds in _lasting(chosen).items() if not any(map(holds, listed))]
    which = listing([f"selection.{field}" for field in alone])
    if alone:
        raise InvalidRequest(f"{which}: none of the {len(listed)} clusters of these seeds fits")
    raise InvalidRequest(f"none of the {len(listed)} clusters of these seeds fits all of selection's fields together")


def confirmed(
    clusters: Iterable[ListedCluster], looks: Mapping[ClusterRef, Look], order: FleetOrder
) -> tuple[ListedCluster, ...]:
    """Return those that take part by what was seen of them.

    One in the middle of a migration counts with the CNI version that it had before. One that is on its target, or can't
    take part, stays only if somebody named it: else it was never meant.
    """
    versions, named = order.selection.cni_versions, bool(order.selection.names)
    return tuple(
        cluster
        for cluster in clusters
        if (named or looks[cluster.ref].need not in (Need.NONE, Need.LEFT_OUT) or sets_out_now(cluster, order))
        and (not versions or (looks[cluster.ref].previous_cni_version or cluster.cni.version) in versions)
    )


def sets_out_now(cluster: ListedCluster, order: FleetOrder) -> bool:
    """Tell whether the cluster is where the runbook begins."""
    if order.runbook is Runbook.CHANGE_PROXY_MODE:
        return cluster.proxy_mode != order.migration.proxy_mode.wanted
    return cluster.cni.type is order.start


def _sets_out(cluster: ListedCluster, order: FleetOrder) -> bool:
    return sets_out_now(cluster, order) or _is_labelled(cluster)


def _is_labelled(cluster: ListedCluster) -> bool:
    return any(key == UNSAFE_CNI_MIGRATION for key, _ in cluster.labels)


def _conditions(chosen: Selection) -> tuple[Predicate, ...]:
    return (
        *_lasting(chosen).values(),
        lambda cluster: not chosen.cni_versions or cluster.cni.version in chosen.cni_versions or _is_labelled(cluster),
    )


def _lasting(chosen: Selection) -> dict[str, Predicate]:
    """Return what is asked of a cluster that no migration changes, by the field of the selection."""
    selector = parse_selector(chosen.labels)
    return {
        "labels": lambda cluster: selector(dict(cluster.labels)),
        "projects": lambda cluster: not chosen.projects or cluster.project in chosen.projects,
        "datacenters": lambda cluster: not chosen.datacenters or cluster.datacenter in chosen.datacenters,
        "providers": lambda cluster: not chosen.providers or cluster.provider in chosen.providers,
        "kubernetes_versions": lambda cluster: (
            not chosen.kubernetes_versions or _is_of(cluster, chosen.kubernetes_versions)
        ),
    }


def _is_of(cluster: ListedCluster, versions: Iterable[str]) -> bool:
    found = cluster.kubernetes_version.removeprefix("v")
    return any(
        found == wanted or found.startswith(f"{wanted}.") for wanted in (one.removeprefix("v") for one in versions)
    )


def _refs(names: Iterable[str], listed: Sequence[ListedCluster], parameter: str) -> frozenset[ClusterRef]:
    found = {
        name: [cluster.ref for cluster in listed if name in (cluster.ref.name, str(cluster.ref))] for name in names
    }
    if unknown := sorted(name for name, refs in found.items() if not refs):
        known = [*(cluster.ref.name for cluster in listed), *(str(cluster.ref) for cluster in listed)]
        close = get_close_matches(unknown[0], known, n=3)
        like = f"; like {unknown[0]} are {', '.join(close)}" if close else ""
        raise InvalidRequest(
            f"selection.{parameter} has {listing(unknown, count=5)}, which none of the seeds has{like}. A name is "
            "the ID that KKP shows, or seed/ID; `kubectl get clusters` on a seed lists them"
        )
    if several := sorted(name for name, refs in found.items() if len(refs) > 1):
        raise InvalidRequest(
            f"selection.{parameter} has {several[0]}, which more than one seed has: write "
            + " or ".join(str(ref) for ref in found[several[0]])
        )
    return frozenset(refs[0] for refs in found.values())
