"""Which projects and datacenters a lab has, and where its n-th user cluster lies: always the same for the same number.

Project, datacenter and environment vary independently of each other, so that nine clusters show every pair of them.
Refuses to create anything itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.objects import Object
from lab.resources import PROJECTS, Resource


@dataclass(frozen=True)
class Project:
    """A project of KKP, which owns clusters and has members."""

    id: str
    name: str


@dataclass(frozen=True)
class Datacenter:
    """Where machines come from. In KKP a datacenter belongs to one provider."""

    name: str
    provider: str
    machines: Mapping[str, Any]
    """The provider's own part of a Machine (machine-controller examples/*-machinedeployment.yaml)."""


@dataclass(frozen=True)
class Site:
    """Where a user cluster lies and what people call it."""

    project: Project
    datacenter: Datacenter
    labels: Mapping[str, str]


PROJECTS_OF_THE_LAB = (
    Project("m5zd8kx2wq", "online-shop"),
    Project("q7fk2nz9tb", "back-office"),
    Project("w4hv6cs8xd", "research"),
)
DATACENTERS = (
    Datacenter("lab-dc1", "openstack", {"flavor": "m1.medium", "image": "Ubuntu 24.04"}),
    Datacenter("lab-dc2", "aws", {"instanceType": "t3.large", "region": "eu-central-1", "diskSize": 25}),
    Datacenter("lab-dc3", "vsphere", {"cpus": 2, "memoryMB": 4096, "templateVMName": "ubuntu-24.04"}),
)
ENVIRONMENTS = ("dev", "staging", "prod")
TEAMS = ("shop", "payments", "data")


def site_of(number: int) -> Site:
    """Return where the n-th user cluster lies, from 1 on."""
    row, column = divmod(number - 1, 3)
    labels = {"env": ENVIRONMENTS[(2 * column + row) % 3], "team": TEAMS[(column + 2 * row + row // 3) % 3]}
    return Site(PROJECTS_OF_THE_LAB[(column + row) % 3], DATACENTERS[column], labels)


def project_objects() -> list[tuple[Resource, Object]]:
    """Return the Projects as KKP keeps them on every seed. Source: KKP main, sdk/apis/kubermatic/v1/project.go."""
    return [(PROJECTS, _project(item)) for item in PROJECTS_OF_THE_LAB]


def _project(project: Project) -> Object:
    return {
        "apiVersion": PROJECTS.api_version,
        "kind": PROJECTS.kind,
        "metadata": {"name": project.id},
        "spec": {"name": project.name},
        "status": {"phase": "Active"},
    }
