import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migration.errors import InvalidRequest
from migration.manifests import (
    DEEPEST,
    LONGEST_TEXT,
    MOST_ALIASES,
    MOST_OBJECTS,
    MOST_VALUES,
    Manifested,
    parse_manifest,
)

CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: canal-config, namespace: kube-system}
data: {"a": "{{ not a template of ours }}"}
"""
AGENTS = """\
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: canal
  namespace: kube-system
"""


def parse(text):
    return parse_manifest(text, source="canal.yaml")


def test_documents_are_read_in_their_order():
    found = parse(f"# a comment\n---\n{CONFIG}---\n---\n# nothing here\n---\n{AGENTS}")

    assert found == (
        Manifested("v1", "ConfigMap", "kube-system", "canal-config"),
        Manifested("apps/v1", "DaemonSet", "kube-system", "canal"),
    )
    assert [str(item) for item in found] == ["ConfigMap kube-system/canal-config", "DaemonSet kube-system/canal"]
    assert [item.group for item in found] == ["", "apps"]


def test_lists_are_unfolded_and_each_object_counts_once():
    items = [yaml.safe_load(AGENTS), yaml.safe_load(CONFIG)]
    inner = {"apiVersion": "v1", "kind": "List", "items": items}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [inner, items[0]]})

    assert [item.name for item in parse(text)] == ["canal", "canal-config"]
    assert parse(text) == parse(f"{AGENTS}---\n{CONFIG}")


@pytest.mark.parametrize("namespace", ["", "namespace: ", "namespace: ''", "namespace: null"])
def test_an_object_may_say_no_namespace(namespace):
    found = parse(f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: cilium\n  {namespace}\n")

    assert found == (Manifested("v1", "ServiceAccount", "", "cilium"),)


def test_hooks_of_helm_are_objects_like_others():
    text = (
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: hubble-generate-certs\n  annotations:\n"
        "    helm.sh/hook: post-install\n    helm.sh/hook-delete-policy: before-hook-creation\n"
    )

    assert [str(item) for item in parse(text)] == ["Job hubble-generate-certs"]


def test_names_may_be_those_of_rbac():
    text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'calico:Node.x_1'}\n"

    assert parse(text)[0].name == "calico:Node.x_1"


def metadata(text):
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {text}\n"


NESTED = "a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
ALIASES = "a: &a x\nb: [" + ", ".join(["*a"] * (MOST_ALIASES + 1)) + "]"
BOMB = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [" + "*c," * MOST_ALIASES + "]"
SELF = "&me\napiVersion: v1\nkind: List\nitems: [*me, *me, *me]"

REFUSED = (
    ("nothing", "", "names no object"),
    ("comments", "# only\n---\n# these\n", "names no object"),
    ("an empty List", "apiVersion: v1\nkind: List\nitems: []\n", "names no object"),
    ("a web page", "\n<!DOCTYPE html><html></html>", "a web page"),
    ("a word", "hello", "document 1, line 1: this is no object"),
    ("a sequence", f"---\n{AGENTS}---\n- a\n", "document 2, line 8: this is no object"),
    ("a number", "42", "this is no object"),
    ("broken YAML", f"{AGENTS}---\na: [b\n", "document 2, line .*: this is not valid YAML"),
    ("a tab", "a:\n\t- b", "line 2: this is not valid YAML"),
    ("two anchors", "a: *nowhere", "line 1: this is not valid YAML"),
    ("a control character", "a: \x00b", "not valid YAML"),
    ("half a character", "a: \ud800", "not valid YAML"),
    ("no kind", "apiVersion: v1\nmetadata: {name: x}", "there is no kind"),
    ("no apiVersion", "kind: ConfigMap\nmetadata: {name: x}", "there is no apiVersion"),
    ("a strange apiVersion", "apiVersion: ../../v1\nkind: ConfigMap\nmetadata: {name: x}", "no usable apiVersion"),
    ("a strange kind", "apiVersion: v1\nkind: config/map\nmetadata: {name: x}", "no usable kind"),
    ("no metadata", "apiVersion: v1\nkind: ConfigMap\n", "this ConfigMap has no metadata"),
    ("metadata that are a word", metadata("x"), "this ConfigMap has no metadata"),
    ("no name", metadata("{namespace: kube-system}"), "line 3: there is no name"),
    ("an empty name", metadata("{name: }"), "there is no name"),
    ("a name that is a number", metadata("{name: 12}"), "line 3: this is no usable name"),
    ("a name that is a path", metadata("{name: ../canal}"), "this is no usable name"),
    ("a name of dots", metadata("{name: '..'}"), "this is no usable name"),
    ("a name that is a mapping", metadata("{name: {a: b}}"), "this is no usable name"),
    ("a strange namespace", metadata("{name: x, namespace: a/b}"), "this is no usable namespace"),
    (
        "a generated name",
        metadata("{generateName: canal-}"),
        "has a generateName. Its name is only known to the server",
    ),
    ("a name that stands twice", metadata("{name: a, name: b}"), "stands here twice"),
    ("a kind that stands twice", "kind: A\nkind: B", "stands here twice"),
    ("a merge", "apiVersion: v1\nkind: ConfigMap\nx: &x {namespace: a}\nmetadata: {<<: *x, name: b}", "by reference"),
    ("a key that is a mapping", "? {a: b}\n: c", "a key here is no word"),
    ("a template in a name", metadata('{name: "{{ .Release.Name }}-config"}'), "line 3: this is a template"),
    ("a template in a flow", metadata("\n  name: {{ .Values.name }}"), "line 4: this is a template"),
    ("a template's condition", "{{- if .Values.x }}\napiVersion: v1\n{{- end }}", "this is a template. Render it"),
    ("items that are no sequence", "apiVersion: v1\nkind: List\nitems: x", "the items of this List are no objects"),
    ("a List of itself", SELF, "the items of this List are no objects"),
    ("nesting", NESTED, "levels of nesting"),
    ("aliases", ALIASES, "aliases"),
    ("an alias bomb", BOMB, "aliases"),
    ("too many values", "- a\n" * (MOST_VALUES + 1), "300000 values"),
    ("too many documents", f"---\n{CONFIG}" * (MOST_OBJECTS + 1), "documents"),
    ("too long a text", " " * (LONGEST_TEXT + 1), "longer than 5 MiB"),
)


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_can_not_be_acted_on_is_refused_with_its_place(text, message):
    with pytest.raises(InvalidRequest, match=message) as caught:
        parse(text)

    assert str(caught.value).startswith("manifest canal.yaml")


def test_too_many_objects_in_a_list_are_refused():
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"canal-{n}"}} for n in range(2001)]

    with pytest.raises(InvalidRequest, match="more than 2000 objects"):
        parse(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Secret\nmetadata: {name: cilium-ca}\ndata: {key: 'c3VwZXItc2VjcmV0\n---\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: [c3VwZXItc2VjcmV0]}",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: 'c3VwZXItc2VjcmV0='}",
        "c3VwZXItc2VjcmV0",
        "kind: Secret\n c3VwZXItc2VjcmV0: [\n",
    ],
)
def test_no_message_has_the_content(text):
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    assert "c3VwZXItc2VjcmV0" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


PIECES = st.sampled_from(
    [
        "apiVersion: v1\n",
        "kind: ConfigMap\n",
        "kind: List\n",
        "items:\n",
        "metadata:\n",
        "  name: canal\n",
        "---\n",
        "- ",
        "&a ",
        "*a",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "? ",
        "| ",
        "> ",
        "!!binary ",
        "!!python/object:os.system ",
        "<<: ",
        "{{",
        "\t",
        "\n",
        "%YAML 9\n",
        "...\n",
    ]
)


@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3))).map("".join)))
def test_whatever_the_text_it_is_read_or_refused(text):
    try:
        found = parse(text)
    except InvalidRequest:
        return
    assert all(item.kind and item.name and "/" not in item.name for item in found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "items", "name", "v1", "List"]), inner)
        ),
        max_leaves=20,
    )
)
def test_whatever_the_json_it_is_read_or_refused(body):
    try:
        parse(json.dumps(body))
    except InvalidRequest:
        return


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.lists(st.tuples(st.sampled_from(["ConfigMap", "ServiceAccount", "Service"]), NAMES, NAMES), min_size=1))
def test_what_was_written_is_read_again(objects):
    bodies = [{"apiVersion": "v1", "kind": k, "metadata": {"namespace": ns, "name": name}} for k, ns, name in objects]

    found = parse(yaml.safe_dump_all(bodies))

    assert found == tuple(dict.fromkeys(Manifested("v1", *row) for row in objects))
