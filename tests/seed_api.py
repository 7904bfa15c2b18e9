"""The Kubernetes API behind a seed, for tests that set a scene there with more rights than a migration has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusters.kubernetes_seed import KubernetesSeed

if TYPE_CHECKING:
    from clusters.api import KubeApi
    from clusters.seed import Seed


def seed_api(seed: Seed) -> KubeApi:
    """Return the API of a seed that is reached through Kubernetes."""
    assert isinstance(seed, KubernetesSeed)
    return seed.api
