"""The kubeconfig that the REST API hands out, and whom it hands none."""

from __future__ import annotations

import pytest

from clusters.kinds import CONFIG_MAPS
from clusters.kkp_api.opening import open_kkp
from clusters.seed import open_cluster
from migration.errors import (
    Forbidden,
    InvalidRequest,
    ServerFault,
)
from migration.models import ClusterRef
from tests.clusters.kkp_api.asking import as_person


class TestWayIn:
    async def test_the_administrator_s_kubeconfig_opens_the_cluster(self, shared):
        async with open_cluster(ClusterRef(seed="lab-api", name=shared.name), shared.told.append) as opened:
            await opened.api.list(CONFIG_MAPS, namespace="shop")

            assert opened.way_in.is_administrator_s
            assert opened.way_in.source == f"the kubeconfig of {shared.name} that KKP API lab-api hands out"
            assert "token" not in repr(opened.way_in)

    async def test_kubeconfigs_that_are_switched_off_are_an_administrator_s_matter(self, shared, shared_seed):
        shared.lab.remote.add_fault("platform", "kubeconfig-disabled", cluster=shared.name)
        shared.troubles.append("kubeconfig-disabled")

        with pytest.raises(Forbidden, match=r"switch them on in the admin panel.*or use a connection to the seed"):
            await shared_seed.way_into(await shared_seed.cluster(shared.name))

    async def test_a_control_plane_that_has_no_kubeconfig_yet_is_not_ready(self, cluster, seed, trouble):
        trouble("404", path="/kubeconfig$", times=2)

        with pytest.raises(InvalidRequest, match="is not there: the control plane isn't ready"):
            await seed.way_into(await seed.cluster(cluster.name))

    async def test_a_seed_that_is_back_at_once_is_outlived(self, cluster, seed, trouble):
        trouble("404", path="/kubeconfig$", times=1)

        assert (await seed.way_into(await seed.cluster(cluster.name))).is_administrator_s

    async def test_a_seed_that_goes_before_the_kubeconfig_is_had_is_out_of_reach(self, cluster, seed):
        found = await seed.cluster(cluster.name)
        cluster.platform_fault("seed-gone")

        with pytest.raises(ServerFault, match="or it was deleted"):
            await seed.way_into(found)

    async def test_a_viewer_is_refused_with_the_role_that_is_needed(self, shared):
        async with open_kkp(await as_person(shared, "viewer")) as found:
            with pytest.raises(Forbidden, match=r"is a viewer's, which changes nothing.*the role of an editor"):
                await found.way_into(await found.cluster(shared.name))
            with pytest.raises(Forbidden, match="cannot update"):
                await found.label(shared.name, present=True)
            (denied,) = await found.missing_rights(shared.name, as_administrator=True)
            assert "role viewers" in denied

    async def test_other_roles_lack_nothing_that_is_known(self, shared, shared_seed):
        assert await shared_seed.missing_rights(shared.name, as_administrator=True) == ()
