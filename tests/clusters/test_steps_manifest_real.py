"""Removal by a manifest on a real API server: its discovery, its deletions and its watches."""

from functools import partial

import pytest

from clusters.backups import load_backup
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.journal import read_migration
from clusters.kinds import PODS
from clusters.steps import bookkeeping, cilium, cni_backup, switching, verification
from clusters.steps.addon_inventory import calico_objects
from clusters.steps.addon_removal import remove_canal
from clusters.steps.manifest_lookup import look_up_manifest
from migration.models import CniType, StepStatus
from tests.clusters.by_hand import install_by_hand, left_of
from tests.clusters.conftest import SOON, VERSION, LabCluster
from tests.real_kkp import real_kkp

SIZE = ("--nodes", "2", "--pods", "4", "--grace-seconds", "0", "--speed", "200")


@pytest.mark.control_plane
async def test_canal_goes_by_its_manifest_but_for_definitions_with_objects(tmp_path, monkeypatch):
    with real_kkp(tmp_path / "kkp", *SIZE, workloads_by="kube-controller-manager") as kkp:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(kkp.lab.connections))
        cluster = LabCluster(kkp.cluster, kkp.lab)
        async with cluster.open() as opened:
            migration = await bookkeeping.begin_migration(opened, cluster.request)
            assert migration is not None
            await verification.record_baseline(opened, migration.id)
            await cni_backup.back_up(opened, migration.id)
            await switching.allow_cni_migration(opened)
            await switching.switch_cni(opened, migration)
            await cilium.wait_for_cilium(opened, version=VERSION, deadline=SOON * 3)
            manifest = await install_by_hand(opened, tmp_path / "canal.yaml")
            before, calico = await left_of(opened, manifest), await calico_objects(opened.api)
            shown = await look_up_manifest(opened, manifest, old_cni=CniType.CANAL, remove_crds=True)

            remove = partial(remove_canal, remove_crds=True, deadline=SOON * 3, manifest=manifest)
            result = await remove(opened, migration.id)

            assert result.status is StepStatus.CHANGED
            assert result.summary == f"{len(shown.objects)} objects of Canal removed"
            assert result.findings == shown.left
            assert await left_of(opened, manifest) == []
            assert len(await left_of(opened, manifest, definitions=True)) == len(shown.left) > 0
            assert await calico_objects(opened.api) == calico
            assert await opened.api.list(PODS, namespace="kube-system", labels="k8s-app=canal") == []
            backup = (await read_migration(opened.api, migration.id)).backup("manifest")
            assert backup is not None
            kept = {f"{item['kind']} {item['metadata']['name']}" for item in await load_backup(opened.api, backup)}
            assert set(before) < kept
            assert (await remove(opened, migration.id)).status is StepStatus.ALREADY
