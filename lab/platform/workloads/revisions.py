"""ControllerRevisions: the past templates of DaemonSets and StatefulSets, which `kubectl rollout undo` goes back to.

Refuses to decide which pods follow which revision. Kubernetes: pkg/controller/history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.objects import Object, labels_of, name_of, namespace_of, owner_reference, uid_of
from lab.platform.workloads.podtemplate import hash_of
from lab.platform.workloads.reconciling import WorkloadController, controller_uid
from lab.resources import CONTROLLER_REVISIONS

if TYPE_CHECKING:
    from collections.abc import Collection

HASH_LABEL = "controller-revision-hash"


def template_of(revision: Object) -> Object:
    """Return the pod template that a revision recorded."""
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


async def current_revision(controller: WorkloadController, owner: Object) -> Object:
    """Record the owner's template as its newest revision unless it is already, and return that revision."""
    revisions = _history(controller, owner)
    newest = max((int(item["revision"]) for item in revisions), default=0)
    for item in revisions:
        if template_of(item) == owner["spec"]["template"]:
            if item["revision"] == newest:
                return item
            return await controller.change(CONTROLLER_REVISIONS, item, {"revision": newest + 1})
    body = _revision(owner, newest + 1)
    await controller.create_all(owner, CONTROLLER_REVISIONS, [body])
    return body


async def forget_old_revisions(controller: WorkloadController, owner: Object, live: Collection[str]) -> None:
    """Delete the oldest revisions beyond `revisionHistoryLimit`, never one whose hash is live."""
    idle = [item for item in _history(controller, owner) if labels_of(item)[HASH_LABEL] not in live]
    surplus = len(idle) - owner["spec"].get("revisionHistoryLimit", 10)
    if surplus > 0:
        oldest = sorted(idle, key=lambda item: int(item["revision"]))[:surplus]
        await controller.delete_all(owner, CONTROLLER_REVISIONS, oldest)


def _history(controller: WorkloadController, owner: Object) -> list[Object]:
    uid = uid_of(owner)
    return [item for item in controller.mirror.owned_by(uid, CONTROLLER_REVISIONS) if controller_uid(item) == uid]


def _revision(owner: Object, number: int) -> Object:
    template = owner["spec"]["template"]
    revision_hash = hash_of(template)
    pairs = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{name_of(owner)}-{revision_hash}",
            "namespace": namespace_of(owner),
            "labels": {**pairs, HASH_LABEL: revision_hash},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }
