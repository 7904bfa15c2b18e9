"""The ports on which pods answer: those that their containers declare, and that of agnhost's `netexec`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.objects import Object, is_pod_finished

NETEXEC_PORT = 8080
"""netexec's --http-port unless told (agnhost's README)."""


def words_of(container: Object) -> list[str]:
    """Return what a container runs, without the name of agnhost's program, which is its image's entry point."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return words[1:] if words and words[0].rpartition("/")[2] == "agnhost" else words


def is_listening(pod: Object, port: int, protocol: str) -> bool:
    """Tell whether something in the pod listens on the port now."""
    if is_pod_finished(pod) or not _is_running(pod):
        return False
    return any(port == number and protocol == kind for number, kind, _ in _opened(pod))


def published_on(pod: Object, host_port: int, protocol: str) -> int | None:
    """Return the pod's own port behind a port that it publishes on its node, None when it doesn't."""
    if is_pod_finished(pod):
        return None
    for opened in _declared(pod):
        if opened.get("hostPort") == host_port and opened.get("protocol", "TCP") == protocol:
            return int(opened["containerPort"])
    return None


def target_port(port: Object, pod: Object) -> int | None:
    """Return the pod's port behind a Service's, None when the pod has none of its name."""
    target, protocol = port.get("targetPort", port["port"]), port.get("protocol", "TCP")
    if isinstance(target, int):
        return target or int(port["port"])
    return next((number for number, kind, name in _opened(pod) if (kind, name) == (protocol, target)), None)


def _opened(pod: Object) -> Iterator[tuple[int, str, str]]:
    for opened in _declared(pod):
        yield int(opened["containerPort"]), opened.get("protocol", "TCP"), opened.get("name", "")
    for container in pod["spec"]["containers"]:
        words = words_of(container)
        if words[:1] == ["netexec"]:
            yield _option(words, "--http-port", NETEXEC_PORT), "TCP", ""


def _option(words: list[str], option: str, otherwise: int) -> int:
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        value = value or next(iter(words[index + 1 : index + 2]), "")
        if name == option and value.isdecimal():
            return int(value)
    return otherwise


def _declared(pod: Object) -> Iterator[Object]:
    for container in pod["spec"]["containers"]:
        yield from container.get("ports") or ()


def _is_running(pod: Object) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses")
    if statuses is None:
        return (pod.get("status") or {}).get("phase") == "Running"
    return any("running" in (status.get("state") or {}) for status in statuses)
