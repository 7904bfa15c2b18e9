"""Label selectors of objects, and indexes that answer who selects whom. Refuses to scan a cluster per event."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from lab.objects import Object, key_of, labels_of, namespace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.platform.runtime import Change, Mirror
    from lab.resources import Resource

Pair = tuple[str, str]
_ANY: Pair = ("", "")
"""Stands for a selector without any `matchLabels`, and for every object of a namespace."""


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a `metav1.LabelSelector` takes these labels; no selector takes none, an empty one takes all."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(_meets(rule, labels) for rule in selector.get("matchExpressions") or ())


def _meets(rule: Object, labels: Mapping[str, str]) -> bool:
    held = labels.get(rule["key"])
    match rule["operator"]:
        case "In":
            return held in rule["values"]
        case "NotIn":
            return held not in rule["values"]
        case "Exists":
            return held is not None
        case _:
            return held is None


def selector_of(owner: Object) -> Object | None:
    """Return the label selector of a workload, PodDisruptionBudget or the like."""
    found: Object | None = owner["spec"].get("selector")
    return found


def service_selector_of(service: Object) -> Object | None:
    """Return a Service's plain map as a label selector; None when it selects nothing by itself."""
    pairs = service["spec"].get("selector")
    return {"matchLabels": pairs} if pairs else None


class LabelIndex:
    """The mirrored objects of one resource by namespace and label, those only that `where` takes.

    Holds keys, so that a change that leaves the labels alone costs next to nothing.
    """

    def __init__(self, mirror: Mirror, resource: Resource, *, where: Callable[[Object], bool] | None = None) -> None:
        self._mirror = mirror
        self._resource = resource
        self._where = where
        self._held: dict[str, dict[str, str]] = {}
        self._buckets: dict[tuple[str, Pair], dict[str, None]] = defaultdict(dict)
        mirror.subscribe(resource, self._on_change)

    def matching(self, namespace: str, selector: Object | None) -> list[Object]:
        """Return the objects of a namespace that the selector takes, looking only at its rarest label."""
        if selector is None:
            return []
        pairs = list((selector.get("matchLabels") or {}).items()) or [_ANY]
        bucket = min((self._buckets.get((namespace, pair), {}) for pair in pairs), key=len)
        is_exact = len(pairs) == 1 and not selector.get("matchExpressions")
        names = [key.partition("/")[2] for key in bucket if is_exact or matches(selector, self._held[key])]
        items = [self._mirror.get(self._resource, name, namespace=namespace) for name in names]
        return [item for item in items if item is not None]

    def _on_change(self, change: Change) -> None:
        now = change.object
        key = key_of(now)
        is_held = change.type != "DELETED" and (self._where is None or self._where(now))
        labels, held = labels_of(now) if is_held else None, self._held.get(key)
        if labels == held:
            return
        namespace = namespace_of(now)
        if held is not None:
            del self._held[key]
            for pair in (_ANY, *held.items()):
                self._drop((namespace, pair), key)
        if labels is not None:
            self._held[key] = labels
            for pair in (_ANY, *labels.items()):
                self._buckets[namespace, pair][key] = None

    def _drop(self, place: tuple[str, Pair], key: str) -> None:
        bucket = self._buckets[place]
        bucket.pop(key, None)
        if not bucket:
            del self._buckets[place]


class SelectorIndex:
    """The mirrored objects of one resource by what they select, to be asked for those that take some labels."""

    def __init__(self, mirror: Mirror, resource: Resource, selector: Callable[[Object], Object | None]) -> None:
        self._selector = selector
        self._buckets: dict[tuple[str, Pair], dict[str, Object]] = defaultdict(dict)
        mirror.subscribe(resource, self._on_change)

    def selecting(self, item: Object) -> list[str]:
        """Return the keys of the objects in the item's namespace whose selector takes the item's labels."""
        namespace, labels = namespace_of(item), labels_of(item)
        found = []
        for pair in (*labels.items(), _ANY):
            for key, selector in self._buckets.get((namespace, pair), {}).items():
                if matches(selector, labels):
                    found.append(key)
        return found

    def _on_change(self, change: Change) -> None:
        for item, is_held in ((change.before, False), (change.object, change.type != "DELETED")):
            selector = self._selector(item) if item is not None else None
            if item is None or selector is None:
                continue
            place = namespace_of(item), next(iter((selector.get("matchLabels") or {}).items()), _ANY)
            if is_held:
                self._buckets[place][key_of(item)] = selector
            else:
                self._buckets[place].pop(key_of(item), None)
