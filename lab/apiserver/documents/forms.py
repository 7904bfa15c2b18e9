"""In which form a client takes its answer, by its Accept header. Refuses to write any: `rendering` does.

Protobuf and CBOR are not written: a client that takes nothing else gets a 406.
Source: k8s.io/apiserver v0.35, pkg/endpoints/handlers/negotiation/negotiate.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lab.apiserver.problems import not_acceptable
from lab.resources import Resource

MEDIA_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_META_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True)
class Form:
    """Whole objects, or what stands for them in a version of meta.k8s.io."""

    shape: Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = ""
    version: str = "v1"
    media_type: str = "application/json"

    @property
    def api_version(self) -> str:
        """`apiVersion` of what stands for the objects."""
        return f"meta.k8s.io/{self.version}"

    @property
    def only_metadata(self) -> bool:
        """Tell whether objects are shown by their metadata alone."""
        return self.shape.startswith("Partial")

    def check_that_fits(self, resource: Resource, *, is_list: bool) -> None:
        """Raise the 406 if a list is wanted where there is one object, or one where there is a list."""
        if self.only_metadata and self.shape.endswith("List") is not is_list:
            package = resource.group.partition(".")[0] or "core"
            name = f"{package}.{resource.kind}" if not resource.custom else "unstructured.Unstructured"
            what = f"a list (*{name}List)" if is_list else f"not a list (*{name})"
            raise not_acceptable(f"you requested {self.shape}, but the requested object is {what}")


def _quality(text: str) -> float:
    """Return how much a form is wanted; what is no number counts as nothing said."""
    try:
        return float(text)
    except ValueError:
        return 1.0


@lru_cache(maxsize=256)
def form_of(accept: str, *, is_list: bool = False) -> Form:
    """Return the form that an Accept header asks for; raises the 406 if it is none that the lab writes."""
    if not accept:
        return Form()
    offers = sorted(map(_parsed, accept.split(",")), key=lambda offer: -_quality(offer[1].get("q", "")))
    for media_type, parameters in offers:
        if media_type not in (*MEDIA_TYPES[:2], "*/*"):
            continue
        written = media_type if media_type in MEDIA_TYPES else MEDIA_TYPES[0]
        if not {"as", "g", "v"} & set(parameters):
            return Form(media_type=written)
        shape, version = parameters.get("as", ""), parameters.get("v", "")
        if parameters.get("g") == "meta.k8s.io" and version in _META_VERSIONS:
            for known in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
                if shape == known:
                    return Form(known, version, written)
    if any(media_type in (*MEDIA_TYPES, "*/*") for media_type, _ in offers):
        raise not_acceptable(f"only the following media types are accepted: {', '.join(MEDIA_TYPES)}")
    available = ", ".join((*MEDIA_TYPES, *(_STREAMS if is_list else ())))
    raise not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {available}", details={})


def _parsed(offer: str) -> tuple[str, dict[str, str]]:
    media_type, *parameters = (part.strip() for part in offer.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type, {name.strip(): value.strip() for name, _, value in pairs}
