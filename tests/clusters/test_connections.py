import pytest
import yaml

from clusters.connections import ENVIRONMENT_VARIABLE, connection_names, parse_kubeconfig, seed_kubeconfig
from migration.errors import InvalidRequest

KUBECONFIG = {"clusters": [{"name": "c"}], "contexts": [{"name": "c"}], "users": [{"user": {"token": "s3cr3t"}}]}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    found = tmp_path / "connections"
    found.mkdir()
    (found / "production.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    (found / "stage.eu-1.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    (found / "notes.txt").write_text("not a connection")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(found))
    return found


def refusal(connection):
    with pytest.raises(InvalidRequest) as error:
        seed_kubeconfig(connection)
    assert "s3cr3t" not in str(error.value)
    return str(error.value)


def test_a_connection_is_a_file_of_its_name(directory):
    assert seed_kubeconfig("production") == KUBECONFIG
    assert connection_names() == ("production", "stage.eu-1")


@pytest.mark.parametrize(
    "name", ["../production", "a/b", "/etc/passwd", "", ".", "..", "-x", "x-", "production\n", "a b", "x" * 64, "ä"]
)
def test_a_name_never_leads_out_of_the_directory(directory, name):
    (directory.parent / "production.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))

    assert "is no name of a connection" in refusal(name)


def test_an_unknown_connection_is_answered_with_those_there_are(directory):
    said = refusal("nothing")

    assert "configured: production, stage.eu-1" in said
    assert str(directory / "nothing.kubeconfig") in said


def test_no_configured_directory_says_what_to_set(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)

    assert f"set {ENVIRONMENT_VARIABLE}" in refusal("production")


def test_a_missing_directory_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "nowhere"))

    assert f"{tmp_path / 'nowhere'}, which is not a directory" in refusal("production")


@pytest.mark.parametrize("name", ["production", "stage.eu-1"])
def test_an_empty_directory_has_no_connection(tmp_path, monkeypatch, name):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))

    assert "configured: none" in refusal(name)


NO_YAML = [
    "users: [{user: {token: s3cr3t}}",
    "token: s3cr3t\n\tmore: x",
    "token: !!python/object:os.system s3cr3t",
    "s3cr3t: 2024-99-99",
    "token: s3cr3t: s3cr3t",
]


@pytest.mark.parametrize("text", NO_YAML)
def test_broken_yaml_is_named_by_its_file_and_never_quoted(directory, text):
    (directory / "broken.kubeconfig").write_text(text)

    assert "broken.kubeconfig is not valid YAML" in refusal("broken")


@pytest.mark.parametrize("text", ["", "s3cr3t", "[s3cr3t]", "clusters: []", "clusters: [{name: c}]\ntoken: s3cr3t"])
def test_yaml_that_is_no_kubeconfig_is_refused(text):
    with pytest.raises(InvalidRequest, match="the file is not a kubeconfig") as error:
        parse_kubeconfig(text, source="the file")

    assert "s3cr3t" not in str(error.value)


def test_a_file_that_is_no_text_is_named(directory):
    (directory / "binary.kubeconfig").write_bytes(b"\xff\xfe\x00s3cr3t")

    assert "binary.kubeconfig can't be read: UnicodeDecodeError" in refusal("binary")


def test_a_directory_in_the_place_of_a_file_is_no_connection(directory):
    (directory / "folder.kubeconfig").mkdir()

    assert "no connection named 'folder'" in refusal("folder")
