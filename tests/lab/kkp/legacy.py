"""A Cluster of KKP 2.20, as the tests of that release begin with it."""

from __future__ import annotations

from lab.objects import Object
from lab.platform.kkp import cluster_objects
from lab.platform.kkp.profiles import KKP_2_20
from tests.lab.kkp.harness import CLUSTER

UNLOCKED = {"metadata": {"labels": {"unsafe-cni-migration": "true"}}}


def a_cluster(cni_type: str, version: str, proxy_mode: str = "ipvs") -> Object:
    """Return a Cluster that runs already."""
    (_, body), *_ = cluster_objects(
        CLUSTER, human_readable_name="stage", project="q7mdz4w8sn", cni_type=cni_type, cni_version=version,
        proxy_mode=proxy_mode, version="1.22.17", url="https://lab.example:6443/clusters/x", labels={},
        profile=KKP_2_20,
    )  # fmt: skip
    return body
