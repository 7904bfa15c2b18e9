import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.policies.expressions import DEEPEST, NoSelector, parse
from migration.policies.labels import cilium_selector, label_selector, unseen_by_cilium
from migration.policies.reading import Unreadable
from migration.policies.selectors import NAMESPACE_LABEL, All, Compared, Global, Has, In, Not, every, some

DB = {"role": "db", "tier.example.org/zone": "eu-west", "empty": ""}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        (" \t", True),
        ("all()", True),
        ("all( )", True),
        ("!all()", False),
        ("role == 'db'", True),
        ('role == "db"', True),
        ("role=='db'", True),
        ("role == 'cache'", False),
        ("missing == ''", False),
        ("empty == ''", True),
        ("role != 'cache'", True),
        ("role != 'db'", False),
        ("missing != 'db'", True),
        ("role in {'db', 'cache'}", True),
        ("role in{'cache'}", False),
        ("role in {}", False),
        ("role in {'db',}", True),
        ("missing in {'db'}", False),
        ("role not in {'cache'}", True),
        ("role notin {'db'}", False),
        ("missing not in {'db'}", True),
        ("has(role)", True),
        ("has( role )", True),
        ("has(tier.example.org/zone)", True),
        ("has(missing)", False),
        ("!has(missing)", True),
        ("!!has(missing)", False),
        ("tier.example.org/zone contains '-we'", True),
        ("missing contains ''", False),
        ("tier.example.org/zone starts with 'eu'", True),
        ("tier.example.org/zone  starts\twith 'west'", False),
        ("tier.example.org/zone ends with 'west'", True),
        ("missing ends with ''", False),
        ("!role == 'db'", False),
        ("role == 'db' && has(missing)", False),
        ("role == 'db' || has(missing)", True),
        ("has(missing) && has(role) || has(role)", True),
        ("has(missing) && (has(role) || has(role))", False),
        ("!(has(missing) || role == 'cache')", True),
        ("global()", True),
    ],
)
def test_selector_language_of_calico_means_what_calico_means(text, selected):
    assert parse(text).matches(DB) is selected


def test_global_selects_nothing_that_has_a_namespace():
    assert not parse("global()").matches({NAMESPACE_LABEL: "shop"})


@pytest.mark.parametrize(
    "text",
    [
        "role",
        "role =",
        "role = 'db'",
        "role == db",
        "role == 'db",
        "role == 'db' &&",
        "role == 'db' & has(role)",
        "role == 'db' has(role)",
        "(role == 'db'",
        "role == 'db')",
        "role in 'db'",
        "role in {'db'",
        "role in {db}",
        "role in {,}",
        "role starts 'db'",
        "has()",
        "has(a b)",
        "all(",
        "!",
        "&& all()",
        "role == 'db'\n",
        "röle == 'db'",
        "a" * 513 + " == 'b'",
        "(" * (DEEPEST + 1) + "all()" + ")" * (DEEPEST + 1),
        "(" * 100_000,
    ],
)
def test_what_calico_refuses_is_no_selector(text):
    with pytest.raises(NoSelector, match=r"at character [0-9]+ not"):
        parse(text)


def test_as_many_negations_as_one_likes_are_read():
    assert parse("!" * 100_001 + "all()") == Not(All())


keys = st.text("abcdeno.-_/", min_size=1, max_size=6)
values = st.text("abc '", max_size=4)
terms = st.one_of(
    st.just(All()),
    st.just(Global()),
    st.builds(Has, keys),
    st.builds(In, keys, st.lists(values, max_size=3).map(tuple), st.booleans()),
    st.builds(Compared, keys, st.sampled_from(["==", "!=", "contains", "starts with", "ends with"]), values),
)


def _grown(children):
    several = st.lists(children, min_size=1, max_size=3).map(tuple)
    negated = children.filter(lambda child: not isinstance(child, Not)).map(Not)
    return st.one_of(several.map(every), several.map(some), negated)


@given(st.recursive(terms, _grown, max_leaves=12))
def test_a_selector_is_read_back_from_its_own_text(selector):
    assert parse(str(selector)) == selector


@given(st.recursive(terms, _grown, max_leaves=8), st.dictionaries(keys, values, max_size=4))
def test_a_selector_is_decided_by_the_labels_that_it_names(selector, labels):
    decisive = {key: value for key, value in labels.items() if key in selector.label_keys()}
    assert selector.matches(labels) == selector.matches(decisive)


@given(st.text("ab=!&|(){},'\" \thasllgobincternwithd", max_size=40) | st.text())
def test_any_text_is_a_selector_or_refused_as_none(text):
    try:
        found = parse(text)
    except NoSelector:
        return
    assert found.matches({}) in (True, False)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "role", "operator": "In", "values": ["db"]}, True),
        ({"key": "missing", "operator": "In", "values": ["db"]}, False),
        ({"key": "role", "operator": "NotIn", "values": ["db"]}, False),
        ({"key": "missing", "operator": "NotIn", "values": ["db"]}, True),
        ({"key": "role", "operator": "Exists"}, True),
        ({"key": "role", "operator": "DoesNotExist"}, False),
        ({"key": "missing", "operator": "DoesNotExist"}, True),
    ],
)
def test_expressions_of_kubernetes_mean_what_kubernetes_means(expression, selected):
    assert label_selector({"matchExpressions": [expression]}, "podSelector").matches(DB) is selected


@pytest.mark.parametrize("empty", [None, {}, {"matchLabels": None}, {"matchExpressions": []}])
def test_an_empty_label_selector_selects_everything(empty):
    assert label_selector(empty, "podSelector") == All()


@pytest.mark.parametrize(
    "wrong",
    [
        "role",
        {"matchLabels": ["role"]},
        {"matchLabels": {"role": 1}},
        {"matchExpressions": {"key": "role"}},
        {"matchExpressions": [{"key": "role", "operator": "Is"}]},
        {"matchExpressions": [{"key": "role", "operator": "In", "values": "db"}]},
        {"matchExpressions": [{"key": 3, "operator": "Exists"}]},
    ],
)
def test_a_label_selector_of_another_form_is_unreadable(wrong):
    with pytest.raises(Unreadable):
        label_selector(wrong, "podSelector")


@pytest.mark.parametrize(
    ("key", "selected"),
    [("role", True), ("k8s:role", True), ("any:role", True), ("reserved:role", False), ("k8s:missing", False)],
)
def test_labels_of_cilium_are_asked_with_their_source(key, selected):
    assert cilium_selector({"matchLabels": {key: "db"}}, "endpointSelector").matches(DB) is selected


def test_a_namespaced_policy_of_cilium_can_not_select_another_namespace():
    asked = {
        "matchLabels": {"k8s:io.kubernetes.pod.namespace": "other", "role": "db"},
        "matchExpressions": [{"key": "io.kubernetes.pod.namespace", "operator": "In", "values": ["other"]}],
    }
    assert cilium_selector(asked, "endpointSelector", own_namespace=True) == Compared("role", "==", "db")


@pytest.mark.parametrize(
    ("key", "unseen"),
    [
        ("app", False),
        ("app.kubernetes.io/name", False),
        ("io.kubernetes.pod.namespace", False),
        ("pod-template-hash", True),
        ("controller-revision-hash", True),
        ("statefulset.kubernetes.io/pod-name", True),
        ("apps.kubernetes.io/pod-index", True),
        ("batch.kubernetes.io/job-completion-index", True),
        ("failure-domain.beta.kubernetes.io/zone", True),
        ("kubernetes.io/metadata.name", True),
    ],
)
def test_cilium_sees_all_labels_but_those_that_would_give_every_pod_an_identity(key, unseen):
    assert unseen_by_cilium(key) is unseen
