"""`agnhost connect`: a container that opens one connection through the lab's network, and says how that went.

docs/platform.md 5.9 has its options, its words and its exit codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from lab.network.agents import NodePrograms
from lab.network.attempts import Answer, Attempts, Destination
from lab.network.dns import NoSuchHost
from lab.network.ports import words_of
from lab.objects import Object
from lab.platform.podruntime import ProgramCrashed

NO_TIMEOUT_SECONDS = 127.0
"""How long Linux tries to connect if nobody limits it (tcp_syn_retries, 6 of them)."""
AGAIN_SECONDS = 1.0
"""When the first packet is sent a second time, if nobody has answered."""
LAST_PORT = 65535
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PROTOCOLS = ("tcp", "udp", "sctp")
_FAILURES = {Answer.SILENCE: "TIMEOUT", Answer.REFUSED: "REFUSED"}


@dataclass(frozen=True)
class Probe:
    """What `connect` is told."""

    destination: Destination
    timeout_seconds: float


class ConnectJob:
    """One run of `agnhost connect`. It is asked at its start, a second later, and at the end of its time."""

    finishes: ClassVar[bool] = True

    def __init__(self, context: NodePrograms, attempts: Attempts, words: list[str]) -> None:
        self._context = context
        self._attempts = attempts
        self._words = words

    async def start(self, pod: Object) -> None:
        """Return when the connection is open; raises ProgramCrashed with agnhost's words when it can't be opened."""
        try:
            probe = probe_from(self._words)
        except ValueError as error:
            raise _failed(pod, f"UNKNOWN: {error}") from error
        rest = probe.timeout_seconds
        while True:
            failure = self._try(pod, probe.destination)
            if failure is None:
                return
            if not failure.is_silence or rest <= 0:
                raise _failed(pod, failure.text)
            pause = min(AGAIN_SECONDS if rest == probe.timeout_seconds else rest, rest)
            await self._context.clock.sleep(pause)
            rest -= pause

    async def stop(self, _pod: Object) -> None:
        """Do nothing: the connection goes with its process."""

    def _try(self, pod: Object, destination: Destination) -> _Failure | None:
        try:
            answer = self._attempts.answer(pod, destination)
        except NoSuchHost as error:
            return _Failure(f"DNS: {error}", is_silence=error.is_silence)
        if answer is Answer.OPEN:
            return None
        return _Failure(_FAILURES[answer], is_silence=answer is Answer.SILENCE)


@dataclass(frozen=True)
class _Failure:
    text: str
    is_silence: bool


def connect_words(pod: Object) -> list[str] | None:
    """Return what `connect` is told in a pod that is not restarted always and runs nothing else, else None."""
    spec = pod["spec"]
    if spec.get("restartPolicy", "Always") == "Always" or len(spec["containers"]) != 1:
        return None
    words = words_of(spec["containers"][0])
    return words[1:] if words[:1] == ["connect"] else None


def probe_from(words: list[str]) -> Probe:
    """Return what is asked for; raises ValueError."""
    options, hosts = {"timeout": "", "protocol": "tcp"}, []
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            hosts.append(word)
            continue
        name, _, value = word[2:].partition("=")
        if name not in options:
            raise ValueError(f"unknown flag: --{name}")
        options[name] = value or next(rest, "")
    if len(hosts) != 1:
        raise ValueError(f"accepts 1 arg(s), received {len(hosts)}")
    if options["protocol"] not in _PROTOCOLS:
        raise ValueError("Unsupported protocol")
    seconds = _seconds(options["timeout"])
    return Probe(_destination(hosts[0], options["protocol"].upper()), seconds or NO_TIMEOUT_SECONDS)


def _destination(text: str, protocol: str) -> Destination:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    if not port.isdecimal() or not 0 < int(port) <= LAST_PORT:
        raise ValueError(f"address {port}: invalid port")
    return Destination(host.strip("[]"), int(port), protocol)


def _seconds(duration: str) -> float:
    parts = _DURATION.findall(duration)
    if duration and "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f'invalid argument "{duration}" for "--timeout" flag: time: invalid duration "{duration}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _failed(pod: Object, text: str) -> ProgramCrashed:
    """What is printed gets into the status only if the container asks for its log there, and ends a line."""
    policy = pod["spec"]["containers"][0].get("terminationMessagePolicy", "File")
    return ProgramCrashed(f"{text}\n" if policy == "FallbackToLogsOnError" else "")
