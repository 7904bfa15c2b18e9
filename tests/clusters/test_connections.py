import base64
import json
import ssl

import pytest
import yaml

from clusters import connections
from clusters.connection_kinds import (
    SeedConnection,
    checked_authority,
    pasted_authority,
    pasted_kubeconfig,
    seed_connection,
    self_contained,
)
from clusters.connections import (
    ENVIRONMENT_VARIABLE,
    KkpConnection,
    connection_places,
    find_connection,
    parse_kubeconfig,
    register_source,
)
from migration.errors import InvalidRequest, Unreachable

USERS = [{"name": "u", "user": {"token": "s3cr3t"}}]
CONTEXTS = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("here", "there")]
KUBECONFIG = {"clusters": [{"name": "c"}], "contexts": CONTEXTS, "users": USERS, "current-context": "here"}
API = {"url": "https://kkp.example.com", "token": "s3cr3t"}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    found = tmp_path / "connections"
    found.mkdir()
    (found / "production.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    (found / "stage.eu-1.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    (found / "api.kkp.yaml").write_text(yaml.safe_dump(API))
    (found / "notes.txt").write_text("not a connection")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(found))
    return found


class Elsewhere:
    """A source with one connection, or one that is out of reach."""

    def __init__(self, name="", *, is_away=False):
        self.name, self.is_away = name, is_away

    async def places(self):
        if self.is_away:
            raise Unreachable("the Prefect server is away")
        return ((self.name, f"block kkp-seed/{self.name}"),) if self.name else ()

    async def read(self, place):
        return SeedConnection(self.name, KUBECONFIG, place)


@pytest.fixture
def register(monkeypatch):
    monkeypatch.setattr(connections, "_sources", {})
    return lambda source: register_source("elsewhere", source)


async def refusal(connection):
    with pytest.raises(InvalidRequest) as error:
        await find_connection(connection)
    assert "s3cr3t" not in str(error.value)
    return str(error.value)


async def test_a_connection_is_a_file_of_its_name(directory):
    found = await find_connection("production")

    assert found == SeedConnection("production", KUBECONFIG, "here")
    assert "s3cr3t" not in repr(found)
    assert [name for name, _ in await connection_places()] == ["api", "production", "stage.eu-1"]


async def test_a_file_may_lead_to_an_api(directory):
    found = await find_connection("api")

    assert found == KkpConnection("api", "https://kkp.example.com", "s3cr3t")
    assert "s3cr3t" not in repr(found)


@pytest.mark.parametrize(
    "name", ["../production", "a/b", "/etc/passwd", "", ".", "..", "-x", "x-", "production\n", "a b", "x" * 64, "ä"]
)
async def test_a_name_never_leads_out_of_the_directory(directory, name):
    (directory.parent / "production.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))

    assert "is no name of a connection" in await refusal(name)


async def test_an_unknown_connection_is_answered_with_those_of_all_sources(directory, register):
    register(Elsewhere("of-a-block"))

    said = await refusal("nothing")

    assert "configured: api, of-a-block, production, stage.eu-1" in said
    assert str(directory / "nothing.kubeconfig") in said
    assert "python -m deployments.connections save nothing" in said


async def test_no_configured_directory_says_what_to_set(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)

    assert f"set {ENVIRONMENT_VARIABLE}" in await refusal("production")


async def test_a_missing_directory_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "nowhere"))

    assert f"{tmp_path / 'nowhere'}, which is not a directory" in await refusal("production")


async def test_an_empty_directory_has_no_connection(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path))

    assert "configured: none" in await refusal("production")


async def test_one_name_in_two_places_is_refused_with_both(directory, register):
    (directory / "twice.kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    (directory / "twice.kkp.yaml").write_text(yaml.safe_dump(API))
    register(Elsewhere("production"))

    said = await refusal("twice")
    assert str(directory / "twice.kubeconfig") in said
    assert str(directory / "twice.kkp.yaml") in said
    said = await refusal("production")
    assert f"{directory / 'production.kubeconfig'} and block kkp-seed/production" in said


async def test_a_source_that_is_away_stands_only_in_the_way_of_its_own(directory, register):
    register(Elsewhere(is_away=True))

    assert (await find_connection("production")).name == "production"
    with pytest.raises(Unreachable, match="the Prefect server is away"):
        await find_connection("of-a-block")


async def test_a_source_alone_is_enough(monkeypatch, register):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    register(Elsewhere("of-a-block"))

    assert (await find_connection("of-a-block")).context == "block kkp-seed/of-a-block"
    assert "configured: of-a-block" in await refusal("nothing")


NO_YAML = [
    "users: [{user: {token: s3cr3t}}",
    "token: s3cr3t\n\tmore: x",
    "token: !!python/object:os.system s3cr3t",
    "s3cr3t: 2024-99-99",
    "token: s3cr3t: s3cr3t",
]


@pytest.mark.parametrize("suffix", ["kubeconfig", "kkp.yaml"])
@pytest.mark.parametrize("text", NO_YAML)
async def test_broken_yaml_is_named_by_its_file_and_never_quoted(directory, text, suffix):
    (directory / f"broken.{suffix}").write_text(text)

    assert f"broken.{suffix} is not valid YAML" in await refusal("broken")


@pytest.mark.parametrize("text", ["", "s3cr3t", "[s3cr3t]", "clusters: []", "clusters: [{name: c}]\ntoken: s3cr3t"])
def test_yaml_that_is_no_kubeconfig_is_refused(text):
    with pytest.raises(InvalidRequest, match="the file is not a kubeconfig") as error:
        parse_kubeconfig(text, source="the file")

    assert "s3cr3t" not in str(error.value)


UNUSABLE = [
    ({"current-context": "nowhere"}, "has no context 'nowhere': it has here, there"),
    ({"current-context": None}, r"has no current-context: name one of its contexts (here, there)"),
    ({"users": []}, "its context 'here' names a user that is not there"),
    ({"clusters": [{"name": "other"}]}, "its context 'here' names a cluster that is not there"),
    ({"contexts": [{"name": "here", "context": "s3cr3t"}]}, "its context 'here' names a cluster that is not there"),
]


@pytest.mark.parametrize(("change", "message"), UNUSABLE)
async def test_a_context_that_leads_nowhere_is_named(directory, change, message):
    (directory / "odd.kubeconfig").write_text(yaml.safe_dump({**KUBECONFIG, **change}))

    assert message in await refusal("odd")


def pem(text):
    return base64.b64encode(text.encode()).decode()


ODD_APIS = [
    ([], "holds no keys"),
    ({"url": None}, "has no url"),
    ({"url": "kkp.example.com"}, "its url is no address"),
    ({"url": "https://kkp.example.com:port"}, "its url is no address"),
    ({"url": "https://"}, "its url is no address"),
    ({"url": "https://kkp.exa mple.com"}, "its url is no address"),
    ({"url": "https://me:s3cr3t@kkp.example.com"}, "no user, password"),
    ({"url": "https://kkp.example.com/api/v2/"}, "its url ends in /api/v2"),
    ({"url": "https://kkp.example.com/api"}, "its url ends in /api"),
    ({"url": "http://kkp.example.com"}, "no TLS"),
    ({"url": 8}, "its url is no text"),
    ({"token": ""}, "has no token"),
    ({"token": "Bearer s3cr3t"}, "leave that away"),
    ({"token": "s3cr3t\nmore"}, "characters that none has"),
    ({"token": ["s3cr3t"]}, "its token is no text"),
    ({"certificateAuthorityData": "s3cr3t!"}, "is not base64 of a PEM"),
    ({"certificateAuthorityData": pem("s3cr3t")}, "is no PEM certificate"),
    (
        {"certificateAuthorityData": pem("-----BEGIN CERTIFICATE-----\ns3cr3t\n-----END CERTIFICATE-----")},
        "is no PEM certificate",
    ),
    ({"certificateAuthorityData": pem("-----BEGIN PRIVATE KEY-----")}, "holds a private key"),
    ({"project": "../p"}, "is no id of a project"),
    ({"certificateAuthority": "x"}, "unknown keys (certificateAuthority)"),
]


@pytest.mark.parametrize(("change", "message"), ODD_APIS)
async def test_an_api_is_refused_for_what_is_wrong_with_it(directory, change, message):
    (directory / "odd.kkp.yaml").write_text(yaml.safe_dump({**API, **change} if isinstance(change, dict) else change))

    said = await refusal("odd")

    assert message in said
    assert "odd.kkp.yaml" in said


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://kkp/x/"])
async def test_tls_may_be_left_away_on_this_machine(directory, url):
    (directory / "near.kkp.yaml").write_text(yaml.safe_dump({**API, "url": url}))

    assert (await find_connection("near")).url == url.rstrip("/")


async def test_an_authority_is_taken_as_kubeconfigs_have_it(directory):
    certificate = ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0])
    (directory / "near.kkp.yaml").write_text(yaml.safe_dump({**API, "certificateAuthorityData": pem(certificate)}))

    assert (await find_connection("near")).certificate_authority == certificate


async def test_a_file_that_is_no_text_is_named(directory):
    (directory / "binary.kubeconfig").write_bytes(b"\xff\xfe\x00s3cr3t")

    assert "binary.kubeconfig can't be read: UnicodeDecodeError" in await refusal("binary")


async def test_a_directory_in_the_place_of_a_file_is_no_connection(directory):
    (directory / "folder.kubeconfig").mkdir()

    assert "no connection named 'folder'" in await refusal("folder")


AS_JSON = json.dumps(KUBECONFIG)


@pytest.mark.parametrize(
    "text", [AS_JSON, yaml.safe_dump(KUBECONFIG), pem(AS_JSON), pem(yaml.safe_dump(KUBECONFIG)), f" {pem(AS_JSON)}\n"]
)
def test_a_kubeconfig_may_have_gone_through_a_form(text):
    assert pasted_kubeconfig(text, source="the block") == KUBECONFIG


def test_one_that_lost_its_line_breaks_is_refused_and_not_quoted():
    with pytest.raises(InvalidRequest, match="the block is not") as error:
        pasted_kubeconfig(yaml.safe_dump(KUBECONFIG).replace("\n", " "), source="the block")

    assert "s3cr3t" not in str(error.value)


def test_an_authority_may_have_gone_through_a_form():
    certificate = ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0])

    for text in (certificate, certificate.replace("\n", " "), certificate.replace("\n", ""), pem(certificate)):
        found = checked_authority(pasted_authority(text, source="the block"), source="the block")
        assert ssl.PEM_cert_to_DER_cert(found) == ssl.PEM_cert_to_DER_cert(certificate)
    assert pasted_authority("", source="the block") == ""


def test_a_block_keeps_nothing_but_the_context_that_is_used():
    more = {**KUBECONFIG, "users": [*USERS, {"name": "other", "user": {"token": "other"}}]}

    found = self_contained(seed_connection("s", more, context="there", source="f"), source="f").kubeconfig

    assert [user["name"] for user in found["users"]] == ["u"]
    assert [context["name"] for context in found["contexts"]] == ["there"]
    assert found["current-context"] == "there"


@pytest.mark.parametrize(
    "user", [{"client-certificate": "/me.crt"}, {"tokenFile": "/token"}, {"exec": {"command": "login"}}]
)
def test_a_block_takes_nothing_that_lies_outside_of_it(user):
    outside = {**KUBECONFIG, "users": [{"name": "u", "user": user}]}

    with pytest.raises(InvalidRequest, match=rf"needs files or programs .*\({next(iter(user))}\)"):
        self_contained(seed_connection("s", outside, source="f"), source="f")
