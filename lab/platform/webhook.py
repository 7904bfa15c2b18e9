"""What the platform has to say about writes, by the name of its webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.apiserver.admission import AdmissionHook
    from lab.resources import Resource


@dataclass(frozen=True)
class Webhook:
    """A hook that is asked about every creation and update of a resource, but not of its subresources."""

    name: str
    resource: Resource
    hook: AdmissionHook


def denial(webhook: str) -> str:
    """Return how an API server begins the message of a refusal (apiserver 1.35, admission/plugin/webhook/errors)."""
    return f'admission webhook "{webhook}" denied the request: '
