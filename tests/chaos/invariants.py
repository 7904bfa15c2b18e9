"""What must hold after every case, whatever was done to the run: two looks at a cluster, held against each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import MIGRATION_LABEL
from clusters.journal import read_journal
from clusters.kinds import MACHINES, NODES, SECRETS
from clusters.lock import who_holds
from clusters.seed import Seed
from clusters.steps.observing import observe_baseline
from clusters.steps.survey import list_cilium_endpoints, list_pods
from migration.journal import NAMESPACE, Journal
from migration.models import CniType, Pod
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.restart import needs_network, pods_to_move
from migration.safe_points import under_way
from migration.verification import Baseline, regressions
from tests.chaos.births import Born
from tests.chaos.scenarios import Place, Scenario
from tests.flows.belongings import belongings

NODE_COUNT: Final = 3


_FAILED: Final = re.compile(r"(?P<cluster>\S+): step (?P<quote>['\"])(?P<step>.+?)(?P=quote) failed: ")
_UNTOUCHED: Final = "nothing was changed by this run"
_UNSEEN: Final = "it could not be looked at"


@dataclass(frozen=True)
class Known:
    """What the message of a failed run is held against."""

    cluster: str
    """As messages name it: connection and cluster."""
    before: Look
    steps: frozenset[str]
    """Those that the run can have failed in."""
    has_api_trouble: bool
    """Whether API servers had trouble, so that a look at the cluster may have failed as well."""


@dataclass(frozen=True)
class Look:
    """A cluster at one moment."""

    network: str
    place: Place
    labelled: bool
    belongings: Mapping[str, Any]
    baseline: Baseline
    journal: Journal
    holder: str
    """Who has the lock. The lease of a dead run is nobody's: it has expired, and the next run takes it."""
    cordoned: tuple[str, ...]
    machines: int
    nodes: frozenset[str]
    backups: Mapping[str, str]
    """Mapping of backup Secret to the migration that it is of."""
    on_old_cni: tuple[str, ...]
    """Pods that a migration to where the Cluster says it is would still move."""
    pods: tuple[Pod, ...]


async def look(seed: Seed, api: KubeApi, cluster: str) -> Look:
    """Return the cluster as it is now."""
    facts, pods = await seed.cluster(cluster), await list_pods(api)
    nodes = await api.list(NODES)
    secrets = await api.list(SECRETS, namespace=NAMESPACE, labels=MIGRATION_LABEL)
    left = pods_to_move(pods, await list_cilium_endpoints(api), target=CniType(facts.cni.type))
    return Look(
        network=str(facts.network),
        place=Place(str(facts.cni.type), facts.proxy_mode),
        labelled=UNSAFE_CNI_MIGRATION in facts.labels,
        belongings=await belongings(api),
        baseline=await observe_baseline(api),
        journal=await read_journal(api),
        holder=await who_holds(api) or "",
        cordoned=tuple(node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")),
        machines=len(await api.list(MACHINES)),
        nodes=frozenset(str(node["metadata"]["uid"]) for node in nodes),
        backups={item["metadata"]["name"]: item["metadata"]["labels"][MIGRATION_LABEL] for item in secrets},
        on_old_cni=tuple(pod.key for pod in left),
        pods=tuple(pod for pod in pods if needs_network(pod)),
    )


def violations(scenario: Scenario, before: Look, after: Look, born: Born) -> Iterator[str]:
    """Yield what is not as it must be after the scenario has been gone through, however often it was interrupted."""
    if after.place != scenario.end:
        yield f"target: the Cluster says {after.network}, wanted was {scenario.end.cni} with {scenario.end.proxy_mode}"
    if after.on_old_cni:
        yield f"pods: not on {after.place.cni}: {_some(after.on_old_cni)}"
    if after.labelled:
        yield "label: unsafe-cni-migration is still there"
    if after.holder:
        yield f"lease: {after.holder} still has it"
    if after.cordoned:
        yield f"nodes: left cordoned: {_some(after.cordoned)}"
    if after.machines != NODE_COUNT:
        yield f"nodes: {after.machines} Machines, not {NODE_COUNT}"
    yield from _rotation(scenario, before, after)
    yield from _losses(scenario, before, after)
    yield from _restarts(scenario, before, born)
    yield from _records(scenario, before.journal, after)


def stopped_badly(before: Look, at: Look, said: str) -> Iterator[str]:
    """Yield what is wrong with a cluster whose run has stopped at a safe point, or waits there, and with what it says."""
    if at.holder:
        yield f"safe point: {at.holder} keeps the lease"
    if at.cordoned:
        yield f"safe point: nodes are cordoned: {_some(at.cordoned)}"
    if at.on_old_cni and at.place != before.place:
        yield f"safe point: pods are not on {at.place.cni}: {_some(at.on_old_cni)}"
    for worse in regressions(before.baseline, at.baseline):
        yield f"safe point: {worse}"
    migration = at.journal.open_migration()
    if migration is None:
        yield "safe point: the journal has no open migration"
    elif found := under_way(migration):
        yield f"safe point: the journal says that the {found} is under way"
    for wanted in (f"the Cluster's spec says {at.network};", "all pods are on one CNI, and it is there"):
        if wanted not in said:
            yield f"safe point: the message lacks {wanted!r}: {said}"


def failed_badly(known: Known, at: Look, said: str, *, is_first: bool) -> Iterator[str]:
    """Yield what is untrue of what a run says that has failed: which step it was, and where the cluster stands.

    `at` is a look right after its end; `is_first` if nobody has changed anything before that run.
    """
    told = _FAILED.match(said)
    if told is None or told["cluster"] != known.cluster or told["step"] not in known.steps:
        yield f"failure: the message names no step of {known.cluster}: {said}"
    for way in ("To resume: ", "To go back: "):
        if way not in said:
            yield f"failure: the message lacks {way!r}: {said}"
    state = said.partition("State: ")[2].partition(". To resume: ")[0]
    if state == _UNTOUCHED:
        if is_first and (at.place != known.before.place or at.labelled or _begun_since(known.before, at)):
            yield f"failure: the message says that nothing was changed: {said}"
    elif state.startswith(_UNSEEN):
        if not known.has_api_trouble:
            yield f"failure: the cluster could be looked at, and was not: {said}"
    elif not state.startswith(f"the Cluster's spec says {at.network};"):
        yield f"failure: the Cluster's spec says {at.network}, and the message something else: {said}"


def taken_back_badly(known: Known, at: Look, said: str) -> Iterator[str]:
    """Yield what is untrue of what a run says that failed and has brought back what was before."""
    if not said.startswith(f"{known.cluster} was not migrated: ") or "everything is as before" not in said:
        yield f"failure: the message doesn't say that it was taken back: {said}"
    if at.place != known.before.place:
        yield f"failure: the Cluster's spec says {at.network}, though everything should be as before"


def _begun_since(before: Look, at: Look) -> bool:
    return {found.id for found in before.journal.migrations} != {found.id for found in at.journal.migrations}


def _rotation(scenario: Scenario, before: Look, after: Look) -> Iterator[str]:
    kept = len(before.nodes & after.nodes)
    if scenario.replaces_nodes and kept:
        yield f"nodes: {kept} of before are still there"
    if not scenario.replaces_nodes and kept != NODE_COUNT:
        yield f"nodes: {NODE_COUNT - kept} were replaced, though they should stay"


def _losses(scenario: Scenario, before: Look, after: Look) -> Iterator[str]:
    for key in sorted({*before.belongings, *after.belongings}):
        was, now = before.belongings.get(key), after.belongings.get(key)
        if was == now or (now is None and scenario.removes_definitions and _is_policy_of_a_cni(key)):
            continue
        if was is None and scenario.takes_back and _is_policy_of_a_cni(key):
            continue  # restored: that is what a revert is for
        yield f"belongings: {key} {'was lost' if now is None else 'is new' if was is None else 'was changed'}"
    for worse in regressions(before.baseline, after.baseline):
        yield f"regression: {worse}"


def _is_policy_of_a_cni(key: str) -> bool:
    return "projectcalico.org" in key or "cilium.io" in key


def _restarts(scenario: Scenario, before: Look, born: Born) -> Iterator[str]:
    """A pod is born anew once for the CNI, and once for each node that went from under it; a CNI's own come with it.

    Counted per workload, for pods have no other identity. The two don't add up: until the rotation begins, none may be
    born for a node, and from then on none for the CNI.
    """
    there = Counter(pod.workload for pod in before.pods)
    for workload in sorted(there):
        had, count = there[workload], born.before_rotation[workload]
        if count > had * scenario.moves:
            yield f"restarts: {workload} has {had} pods, of which {count} were born, at most {scenario.moves} each"
        count, lost = born.in_rotation[workload], born.lost_nodes[workload]
        if count > lost:
            yield f"restarts: {workload} lost {lost} pods with their nodes, and {count} were born instead"


def _records(scenario: Scenario, before: Journal, after: Look) -> Iterator[str]:
    journal = after.journal
    known = {migration.id for migration in before.migrations}
    fresh = [migration for migration in journal.migrations if migration.id not in known]
    if journal.current or journal.open_migration() or any(migration.is_open for migration in journal.migrations):
        yield f"journal: migration {journal.current or '?'} is still open"
    wanted = 2 if scenario.goes_back else 1
    if len(fresh) != wanted:
        yield f"journal: {len(fresh)} new migrations, not {wanted}: {', '.join(str(found.target) for found in fresh)}"
    elif (scenario.takes_back or scenario.goes_back) and not fresh[-1].reverts:
        yield f"journal: migration {fresh[-1].id} doesn't say that it takes another one back"
    pointed = {
        secret: found.id for found in journal.migrations for backup in found.backups for secret in backup.secrets
    }
    for secret in sorted(pointed.keys() - after.backups.keys()):
        yield f"backups: the journal of {pointed[secret]} points to Secret {secret}, which is not there"
    fresh_ids = {migration.id for migration in fresh}
    for secret in sorted(after.backups.keys() - pointed.keys()):
        if after.backups[secret] in fresh_ids:
            yield f"backups: nothing points to Secret {secret}"


def _some(names: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
