"""Whether a connection can be used: what it reaches, and everything that is wrong with it, in one message."""

from __future__ import annotations

from dataclasses import dataclass

from clusters.connections import Connection, SeedConnection
from clusters.seed import open_connection
from clusters.ways_in import Seed
from migration.errors import Forbidden, MigrationError
from migration.facts import ListedCluster


@dataclass(frozen=True)
class Checked:
    """What a connection reaches, what is wrong with it, and what only fleets miss."""

    seen: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as people read it."""
        return "\n".join((self.seen, *(f"  - {line}" for line in (*self.problems, *self.notes))))


async def check_connection(connection: Connection, *, cluster: str = "") -> Checked:
    """Return what a connection reaches; rights are looked at for one cluster, the first one if none is named.

    Changes nothing, and raises nothing that is an answer to the question.
    """
    kind = "the seed's Kubernetes API" if isinstance(connection, SeedConnection) else "KKP's REST API"
    what = f"{connection.name}, {kind}"
    try:
        async with open_connection(connection) as seed:
            return await _look(seed, what, cluster)
    except MigrationError as error:
        return Checked(f"{what}: can't be used", (str(error),))


async def _look(seed: Seed, what: str, cluster: str) -> Checked:
    found, notes = await _listed(seed)
    one = cluster or (found[0].ref.name if found else "")
    problems = await _wrong_with(seed, one) if one else ()
    if not one:
        notes += ("name a cluster to have the rights looked at that its migration needs",)
    projects = len({listed.project for listed in found})
    seen = f"{len(found)} clusters in {projects} projects" if found else "no list of clusters"
    ends = "".join(f", {each.source} ends {each.expires_at:%Y-%m-%d %H:%M} UTC" for each in seed.credentials())
    return Checked(f"{what}: {seen}{ends}", problems, notes)


async def _listed(seed: Seed) -> tuple[tuple[ListedCluster, ...], tuple[str, ...]]:
    try:
        return await seed.list_clusters(), ()
    except Forbidden as error:
        return (), (f"{error}. Single clusters can be migrated by name all the same, fleets can't be selected",)


async def _wrong_with(seed: Seed, cluster: str) -> tuple[str, ...]:
    """Return what is in the way of one cluster: rights, its kubeconfig, and what KKP can install."""
    problems, as_administrator = [], False
    try:
        as_administrator = (await seed.way_into(await seed.cluster(cluster))).is_administrator_s
        await seed.offered_cilium_versions()
    except MigrationError as error:
        problems.append(str(error))
    denied = await seed.missing_rights(cluster, as_administrator=as_administrator)
    return (*(f"missing right: {right}" for right in denied), *problems)
