"""Canal as it is where a person installed it: no label of KKP's on its objects, and a manifest that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from clusters.backups import portable
from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, Kind
from clusters.seed import OpenedCluster
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label, labelled

DEFINITION: Final = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
ADDED: Final = ("shop", "kube-proxy", "cilium")
"""What tests write into the manifest beside Canal's own objects."""


async def install_by_hand(opened: OpenedCluster, path: Path) -> str:
    """Take KKP's label off everything of Canal; returns a manifest that names it all, and nothing in a good order."""
    bodies: list[dict[str, Any]] = []
    for kind, name in ADDON_KINDS:
        # Whoever wrote it down did so before policy/v1.
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        api_version = api_version.replace("policy/v1", "policy/v1beta1")
        for item in await labelled(opened.api, kind, "canal"):
            await _unlabel(opened, kind, item)
            bodies.append(portable(item, api_version=api_version, kind=name))
    for item in await opened.api.list(CUSTOM_RESOURCE_DEFINITIONS, labels=addon_label("canal")):
        await _unlabel(opened, CUSTOM_RESOURCE_DEFINITIONS, item)
        bodies.append({**DEFINITION, "metadata": {"name": item["metadata"]["name"]}, "spec": item["spec"]})
    bodies.sort(key=lambda body: str(body["kind"]))
    _write(path, bodies)
    return str(path)


async def left_of(opened: OpenedCluster, manifest: str, *, definitions: bool = False) -> list[str]:
    """Return which of a manifest's objects of Canal are there, as `Kind name`: definitions, or everything else."""
    kinds = {name: kind for kind, name in ADDON_KINDS} | {DEFINITION["kind"]: CUSTOM_RESOURCE_DEFINITIONS}
    left = []
    for body in _read(manifest):
        kind, name, namespace = body["kind"], body["metadata"]["name"], body["metadata"].get("namespace", "")
        if kind == "Namespace" or name in ADDED or (kind == DEFINITION["kind"]) != definitions:
            continue
        if await opened.api.find(kinds[kind], name, namespace=namespace):
            left.append(f"{kind} {name}")
    return left


def _write(path: Path, bodies: list[dict[str, Any]]) -> None:
    path.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")


def _read(manifest: str) -> list[Any]:
    return list(yaml.safe_load_all(Path(manifest).read_text(encoding="utf-8")))


async def _unlabel(opened: OpenedCluster, kind: Kind, item: Any) -> None:
    metadata = item["metadata"]
    patch = {"metadata": {"labels": {"kubermatic-addon": None}}}
    await opened.api.patch(kind, metadata["name"], patch, namespace=metadata.get("namespace", ""))
