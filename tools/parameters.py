"""Write docs/parameters.md, what the flows can be told, from their signatures: by `make reference`; a test compares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.declared import ROOT, entries

PAGE: Final = ROOT / "docs/parameters.md"
OPENING: Final = """# Every parameter of every flow

Written by `make reference` from the flows' signatures; the forms in the Prefect UI say the same. On the command line:
`prefect deployment run <flow>/<flow> -p name=value`, where a value that is no plain word or number is JSON, as in
`-p 'pods={"strategy": "evict"}'`. Fields that are left out keep their defaults. In prefect.yaml parameters stand under
`parameters`, in YAML.

## Parameters

Where no default is given, one has to be.
"""
_HEAD: Final = "| Parameter | Of | Default | What |\n| --- | --- | --- | --- |\n"
_FIELDS: Final = "| Field | Default | What |\n| --- | --- | --- |\n"

Schema = Mapping[str, Any]


def page() -> str:
    """Return the page as it should be."""
    schemas = {name: parameter_schema(flow).model_dump() for name, flow in _flows()}
    definitions: dict[str, Schema] = {}
    rows: dict[tuple[str, str], tuple[Schema, list[str]]] = {}
    for name, schema in schemas.items():
        definitions |= schema["definitions"]
        for parameter, said in sorted(schema["properties"].items(), key=lambda item: item[1]["position"]):
            what = {key: value for key, value in said.items() if key != "position"}
            rows.setdefault((parameter, json.dumps(what, sort_keys=True)), (what, []))[1].append(name)
    everyone = len(schemas)
    table = "".join(
        f"| `{parameter}` | {_of(flows, everyone)} | {_default(said, definitions)} | {_what(said, definitions)} |\n"
        for (parameter, _), (said, flows) in rows.items()
    )
    models = [(name, found) for name, found in sorted(definitions.items()) if "properties" in found]
    return "\n".join([OPENING, _HEAD + table, *(_section(name, found, definitions) for name, found in models)])


def _flows() -> Iterator[tuple[str, Any]]:
    for entry in entries():
        yield entry["name"], load_flow_from_entrypoint(entry["entrypoint"])


def _of(flows: list[str], everyone: int) -> str:
    return "all" if len(flows) == everyone else "<br>".join(flows)


def _section(name: str, found: Schema, definitions: Mapping[str, Schema]) -> str:
    rows = "".join(
        f"| `{field}` | {_default(said, definitions)} | {_what(said, definitions)} |\n"
        for field, said in found["properties"].items()
    )
    return f"## {name}\n\n{found.get('description', '')}\n\n{_FIELDS}{rows}"


def _default(said: Schema, definitions: Mapping[str, Schema]) -> str:
    if "default" not in said:
        return ""
    value = said["default"]
    named = _model(said, definitions)
    return f"see [{named}](#{named.lower()})" if named else f"`{json.dumps(value)}`"


def _what(said: Schema, definitions: Mapping[str, Schema]) -> str:
    choices = _choices(said, definitions)
    named = _model(said, definitions) or _model(said.get("items") or {}, definitions)
    more = [
        f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "",
        _bounds(said),
        f"Each has the fields of [{named}](#{named.lower()})." if named and said.get("type") == "array" else "",
    ]
    words = [f"**{said.get('title', '')}.**", said.get("description", ""), *more]
    return " ".join(word for word in words if word).replace("|", "\\|").replace("\n", " ")


def _bounds(said: Schema) -> str:
    low, high = said.get("minimum"), said.get("maximum")
    if low is not None and high is not None:
        return f"From {low} to {high}."
    if low is not None:
        return f"At least {low}."
    return "" if high is None else f"At most {high}."


def _choices(said: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    found = definitions.get(_reference(said)) or said
    return [str(choice) for choice in found.get("enum") or ()]


def _model(said: Schema, definitions: Mapping[str, Schema]) -> str:
    name = _reference(said)
    return name if "properties" in definitions.get(name, {}) else ""


def _reference(said: Schema) -> str:
    return str(said.get("$ref", "")).rpartition("/")[2]


if __name__ == "__main__":
    PAGE.write_text(page())
