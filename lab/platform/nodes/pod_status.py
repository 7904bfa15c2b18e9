"""The status that a kubelet reports for a pod. Pure; refuses to decide what happens next.

Conditions and container states: kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from lab.objects import Object, name_of, namespace_of, timestamp, uid_of

_KUBELETS_CONDITIONS = frozenset(
    {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}
)


@dataclass(frozen=True, slots=True)
class Crash:
    """One run of the first container that ended with an error; `message` is its last log line."""

    message: str
    began: str
    ended: str
    exit_code: int = 1
    reason: str = "Error"


def lost_with_node(began: str) -> Crash:
    """Return what a kubelet makes of a container of which it finds nothing after a reboot."""
    return Crash("", began=began, ended=timestamp(), exit_code=255, reason="Unknown")


@dataclass(slots=True)
class Progress:
    """How far a pod has come on its node. Times are metav1.Time."""

    host_ip: str
    begun: str
    """When the kubelet took the pod on."""
    ip: str = ""
    running_since: str = ""
    """When the containers started; empty while they wait."""
    ready: bool = False
    restarts: int = 0
    """How often the first container was restarted, for whatever reason."""
    crash: Crash | None = None
    """The last crash of the first container."""
    reboots: int = 0
    """How often all containers went with their node."""
    loss: Crash | None = None
    """How they went the last time."""
    restarting: bool = False
    """Whether they went with their node and have not been started again."""
    back_off_seconds: int = 0
    ended: Literal["Succeeded", "Failed"] | None = None

    @property
    def is_backing_off(self) -> bool:
        """Whether the first container waits because it crashed, beside others that run."""
        return self.crash is not None and not self.running_since and not self.restarting

    def lose_power(self) -> None:
        """Note that all containers went with their node."""
        if self.running_since or self.crash is not None:
            self.loss = self.crash = lost_with_node(self.running_since or self.begun)
            self.restarts += 1
            self.reboots += 1
        self.restarting = True
        self.ready, self.running_since, self.ip = False, "", ""


def pod_status(pod: Object, progress: Progress) -> Object:
    """Return what the kubelet knows; conditions of others stay, unchanged ones keep their time."""
    spec = pod["spec"]
    containers = [_container(pod, c, progress, first=i == 0) for i, c in enumerate(spec["containers"])]
    unready = [c["name"] for c in containers if not c["ready"]]
    status: Object = {
        "phase": progress.ended or ("Running" if progress.running_since or progress.crash is not None else "Pending"),
        "conditions": _conditions(pod, progress, unready),
        "containerStatuses": containers,
        "hostIP": progress.host_ip,
        "hostIPs": [{"ip": progress.host_ip}],
        "startTime": progress.begun,
    }
    if progress.ip:
        status["podIP"] = progress.ip
        status["podIPs"] = [{"ip": progress.ip}]
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [_init_container(pod, c, progress) for c in spec["initContainers"]]
    return status


def _conditions(pod: Object, progress: Progress, unready: list[str]) -> list[Object]:
    reported = (pod.get("status") or {}).get("conditions") or ()
    before = {condition["type"]: condition for condition in reported}
    reason: tuple[str, str] | None = None
    if progress.ended == "Succeeded":
        reason = ("PodCompleted", "")
    elif unready:
        reason = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    begun = bool(progress.running_since or progress.crash is not None)
    holds: dict[str, bool] = {
        "PodReadyToStartContainers": bool(progress.ip) and not progress.ended,
        "Initialized": begun or not pod["spec"].get("initContainers"),
        "Ready": reason is None,
        "ContainersReady": reason is None,
        "PodScheduled": True,
    }
    others = [condition for condition in reported if condition["type"] not in _KUBELETS_CONDITIONS]
    return others + [_condition(kind, str(is_so), reason, before.get(kind)) for kind, is_so in holds.items()]


def _condition(kind: str, status: str, reason: tuple[str, str] | None, old: Object | None) -> Object:
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else timestamp()
    condition: Object = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if reason is not None and kind in ("Ready", "ContainersReady"):
        condition["reason"] = reason[0]
        if reason[1]:
            condition["message"] = reason[1]
    return condition


def _container(pod: Object, container: Object, progress: Progress, *, first: bool) -> Object:
    restarts = progress.restarts if first else progress.reboots
    last = progress.crash if first else progress.loss
    up = not progress.ended and bool(progress.running_since or (progress.is_backing_off and not first))
    report: Object = {
        "name": container["name"],
        "image": container["image"],
        "imageID": image_id(container["image"]),
        "ready": up and (progress.ready or not first),
        "restartCount": restarts,
        "started": up,
        "state": _state(pod, container["name"], progress, first=first),
        "lastState": {},
    }
    if last is not None and not progress.ended:
        report["lastState"] = {"terminated": _termination(pod, container["name"], progress, last, restarts)}
    if progress.running_since or progress.crash is not None:
        report["containerID"] = container_id(pod, container["name"], restarts)
    return report


def _state(pod: Object, name: str, progress: Progress, *, first: bool) -> dict[str, Any]:
    if progress.ended:
        return {"terminated": _termination(pod, name, progress, progress.crash, progress.restarts)}
    if progress.running_since:
        return {"running": {"startedAt": progress.running_since}}
    if not progress.is_backing_off:
        waiting_for = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
        return {"waiting": {"reason": waiting_for}}
    if not first:
        return {"running": {"startedAt": progress.begun}}
    where = f"pod={name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
    message = f"back-off {progress.back_off_seconds}s restarting failed container={name} {where}"
    return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _termination(pod: Object, name: str, progress: Progress, crash: Crash | None, restarts: int) -> Object:
    identity = container_id(pod, name, max(restarts - 1, 0))
    if crash is None or progress.ended == "Succeeded":
        times = {"startedAt": progress.running_since or progress.begun, "finishedAt": timestamp()}
        return {"exitCode": 0, "reason": "Completed", **times, "containerID": identity}
    times = {"startedAt": crash.began, "finishedAt": crash.ended}
    said = {"message": crash.message} if crash.message else {}
    return {"exitCode": crash.exit_code, "reason": crash.reason, **said, **times, "containerID": identity}


def _init_container(pod: Object, container: Object, progress: Progress) -> Object:
    done = bool(progress.running_since or progress.crash is not None)
    identity = container_id(pod, container["name"], 0)
    state: Object = {"waiting": {"reason": "PodInitializing"}}
    if done:
        times = {"startedAt": progress.begun, "finishedAt": progress.begun}
        state = {"terminated": {"exitCode": 0, "reason": "Completed", **times, "containerID": identity}}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": image_id(container["image"]) if done else "",
        "containerID": identity if done else "",
        "ready": done,
        "restartCount": 0,
        "started": False,
        "state": state,
        "lastState": {},
    }


@lru_cache(maxsize=1024)
def image_id(image: str) -> str:
    """Return a digest reference for an image, the same for the same image."""
    if "@sha256:" in image:
        return image
    digest = hashlib.sha256(image.encode()).hexdigest()
    return f"{image.rsplit(':', 1)[0] if ':' in image.rsplit('/', 1)[-1] else image}@sha256:{digest}"


def container_id(pod: Object, container: str, restarts: int) -> str:
    """Return the containerd id of one run of a container."""
    return f"containerd://{hashlib.sha256(f'{uid_of(pod)}/{container}/{restarts}'.encode()).hexdigest()}"
