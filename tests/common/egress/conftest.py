import datetime
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.common.egress import EgressClient, EgressPolicy
from tests.common.egress.world import Edge, Names, Site, public_answer, reply, serving

LOOSE = {"rate": "1000000/minute", "breaker_failures": 1_000_000, "timeout": 5.0}
CERTIFIED_NAMES = ("example.com", "*.example.com", "*.example.co.uk", "xn--bcher-kva.example")
CERTIFIED_ADDRESSES = ("8.8.8.8", "2606:4700:4700::1111")


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client): a certificate for the public names, and the context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A test authority")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    subjects = [x509.DNSName(each) for each in CERTIFIED_NAMES]
    subjects += [x509.IPAddress(ipaddress.ip_address(each)) for each in CERTIFIED_ADDRESSES]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=file)


@pytest.fixture
def site():
    """Makes a server that answers as told, and stops it at the end."""
    running = []

    def make(answer=public_answer, **options) -> Site:
        context = serving(
            Site(answer, **{k: v for k, v in options.items() if k == "host"}), options.get("tls")
        )
        running.append(context)
        return context.__enter__()

    yield make
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def sentinel(site) -> Site:
    return site(lambda handler: reply(handler, 200, b"internal"))


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def edge(site, sentinel, names, authority, monkeypatch) -> Edge:
    edge = Edge(public=site(), public_tls=site(tls=authority[0]), sentinel=sentinel, names=names)
    monkeypatch.setattr(socket, "create_connection", edge)
    return edge


@pytest.fixture
def client(names, authority):
    """Makes a client that asks our resolver, trusts our authority and never really sleeps."""

    def make(**limits) -> EgressClient:
        policy = EgressPolicy(**{**LOOSE, **limits})
        return EgressClient(policy, resolver=names, tls=authority[1], sleep=lambda seconds: None)

    return make
