"""What an ApplicationInstallation asks Helm for, and how its outcome is told in the status. Refuses to act.

Source: KKP main, August 2026, sdk/apis/apps.kubermatic/v1 and pkg/applications (docs/platform.md 4.1).
"""

from __future__ import annotations

import re
from typing import Any

from lab.objects import Object, name_of, namespace_of, timestamp
from lab.platform.kkp.cilium_chart import Chart, render_cilium
from lab.platform.kkp.helm import Desired
from lab.platform.kkp.helm_releases import Release
from lab.platform.kkp.values import lookup, values_of

MAX_RETRIES = 5
RETRIES_EXCEEDED = "InstallationFailedRetriesExceeded"
RETRIES_EXCEEDED_PREFIX = "Max number of retries was exceeded. Last error: "

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def release_name(installation: Object) -> str:
    """Return the name of the Helm release of an installation."""
    return f"{namespace_of(installation)}-{name_of(installation)}"


def desired_release(installation: Object, offered: Object) -> Desired:
    """Return what Helm is asked for: the offered version's chart with the installation's values.

    The lab has only Cilium's chart; any other renders to nothing, so that its release deploys at once.
    """
    source: dict[str, str] = lookup(offered, "template.source.helm") or {}
    values, release = values_of(installation), release_name(installation)
    namespace = installation["spec"]["namespace"]["name"]
    chart = Chart([], [])
    if source.get("chartName") == "cilium":
        chart = render_cilium(source["chartVersion"], values, release=release, namespace=namespace)
    return Desired(
        release=release,
        namespace=namespace,
        application=name_of(installation),
        chart=source.get("chartName", name_of(installation)),
        chart_version=source.get("chartVersion") or str(offered["version"]),
        values=values,
        rendered=chart,
    )


def condition(installation: Object, name: str, status: str, *, reason: str, message: str) -> dict[str, Any]:
    """Return a status with this condition as it is now, for the generation at hand."""
    held = conditions_of(installation).get(name) or {}
    now = timestamp()
    entry = {
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now if held.get("status") != status else held.get("lastTransitionTime", now),
        "observedGeneration": installation["metadata"].get("generation", 1),
    }
    return {"conditions": {name: entry}}


def conditions_of(installation: Object) -> dict[str, Any]:
    """Return the conditions of an installation by type."""
    return (installation.get("status") or {}).get("conditions") or {}


def release_status(release: Release) -> dict[str, Any]:
    """Return a status that tells of a Helm release."""
    info = {
        "firstDeployed": release.first_deployed,
        "lastDeployed": release.last_deployed,
        "description": release.description,
        "status": release.status,
    }
    return {"helmRelease": {"name": release.name, "version": release.revision, "info": info}}


def seconds_of(duration: str) -> float:
    """Return the seconds of a Go duration such as 1h0m0s."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def without_prefix(message: str) -> str:
    """Return the last error of a message that may say already that retries are used up."""
    while message.startswith(RETRIES_EXCEEDED_PREFIX):
        message = message.removeprefix(RETRIES_EXCEEDED_PREFIX)
    return message
