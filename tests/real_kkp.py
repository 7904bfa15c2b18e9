"""A KKP on real API servers: the lab's platform attached to a seed and a user cluster of `tests.control_plane`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.control_plane import SERVICE_ACCOUNT_CONTROLLER, WORKLOAD_CONTROLLERS, ControlPlane, control_plane
from tests.running_lab import RunningLab, lab_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WorkloadsBy = Literal["lab", "kube-controller-manager"]


@dataclass(frozen=True)
class RealKkp:
    """A settled user cluster, its seed, and the lab that plays KKP, nodes and networks for them."""

    seed: ControlPlane
    user: ControlPlane
    lab: RunningLab

    @property
    def cluster(self) -> str:
        """Name of the user cluster's Cluster."""
        return self.lab.cluster_name()


@contextlib.contextmanager
def real_kkp(folder: Path, *options: str, workloads_by: WorkloadsBy) -> Iterator[RealKkp]:
    """Run one until the block ends; entered once it has settled. Options are those of `python -m lab up`."""
    played = WORKLOAD_CONTROLLERS if workloads_by == "kube-controller-manager" else ()
    left_out = ("--without", "workloads") if played else ()
    with (
        control_plane(folder / "seed", name="seed") as seed,
        # The lab's part `workloads` makes no ServiceAccounts, so somebody else does in both cases.
        control_plane(folder / "user", name="user", controllers=(*played, SERVICE_ACCOUNT_CONTROLLER)) as user,
        lab_process(
            folder / "lab",
            *("--seed-kubeconfig", str(seed.kubeconfig_file), "--cluster-kubeconfig", str(user.kubeconfig_file)),
            *left_out,
            *options,
            start_seconds=180,
        ) as lab,
    ):
        yield RealKkp(seed, user, lab)
