import ipaddress
import re
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from carcloud.errors import MissingError, NotAllowedError
from carcloud.safety.identity import Authority, new_vehicle_id, vehicle_identity

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def leaf_of(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def forged(
    cn: str = "a" * 16,
    uris: tuple[str, ...] = ("spiffe://default/vehicle/" + "a" * 16,),
    *,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    dns: str = "",
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(dns)] if dns else []
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.add_extension(x509.ExtendedKeyUsage([usage]), False).sign(key, hashes.SHA256())


def test_vehicle_id_is_random_and_of_the_wires_alphabet() -> None:
    ids = {new_vehicle_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[a-z2-7]{16}", each) for each in ids)


def test_issued_certificate_names_its_vehicle_and_chains_to_the_root(tmp_path: Path) -> None:
    authority = Authority(tmp_path, lambda: NOW)
    credentials = authority.issue_vehicle("abc234", "default")
    leaf, intermediate = x509.load_pem_x509_certificates(credentials.chain)
    identity = vehicle_identity(leaf)
    assert (identity.tenant, identity.vehicle, identity.serial) == ("default", "abc234", credentials.serial)
    assert identity.not_after == credentials.not_after == NOW + timedelta(days=30)
    roots = x509.load_pem_x509_certificates(authority.vehicle_trust.read_bytes())
    verifier = PolicyBuilder().store(Store([roots[0]])).time(NOW).build_client_verifier()
    assert verifier.verify(leaf, [intermediate]).chain[-1] == roots[0]
    key = serialization.load_pem_private_key(credentials.key, None)
    assert key.public_key() == leaf.public_key()


def test_vehicle_certificate_serves_no_door_and_servers_certificate_no_vehicle(tmp_path: Path) -> None:
    authority = Authority(tmp_path, lambda: NOW)
    leaf, intermediate = x509.load_pem_x509_certificates(authority.issue_vehicle("abc234", "default").chain)
    root = Store([x509.load_pem_x509_certificates(authority.server_trust.read_bytes())[0]])
    as_server = PolicyBuilder().store(root).time(NOW).build_server_verifier(x509.DNSName("localhost"))
    with pytest.raises(VerificationError):
        as_server.verify(leaf, [intermediate])
    chain, _ = authority.server_certificate(["localhost"])
    server, server_ca = x509.load_pem_x509_certificates(chain.read_bytes())
    as_server.verify(server, [server_ca])
    with pytest.raises(VerificationError):
        PolicyBuilder().store(root).time(NOW).build_client_verifier().verify(server, [server_ca])
    with pytest.raises(NotAllowedError):
        vehicle_identity(server)


def test_vehicle_certificate_can_sign_no_other(tmp_path: Path) -> None:
    leaf = leaf_of(Authority(tmp_path).issue_vehicle("abc234", "default").chain)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_vehicle_authority_can_make_no_further_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for trust in (authority.vehicle_trust, authority.server_trust):
        limits = [
            certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
            for certificate in x509.load_pem_x509_certificates(trust.read_bytes())
        ]
        assert limits == [1, 0]


@pytest.mark.parametrize(
    "certificate",
    [
        forged("another"),
        forged(uris=()),
        forged(uris=("spiffe://default/vehicle/" + "a" * 16, "spiffe://default/vehicle/b")),
        forged(uris=("spiffe://default/owner/" + "a" * 16,)),
        forged(uris=("spiffe://default/vehicle/" + "a" * 16 + "/x",)),
        forged("a.b", ("spiffe://default/vehicle/a.b",)),
        forged("*", ("spiffe://default/vehicle/*",)),
        forged("a>", ("spiffe://default/vehicle/a>",)),
        forged(uris=("spiffe://de.fault/vehicle/" + "a" * 16,)),
        forged(dns="localhost"),
        forged(usage=ExtendedKeyUsageOID.SERVER_AUTH),
    ],
)
def test_certificate_that_does_not_name_one_vehicle_is_refused(certificate: x509.Certificate) -> None:
    with pytest.raises(NotAllowedError, match="names no vehicle"):
        vehicle_identity(certificate)


def test_server_certificate_names_its_hosts_and_stays_while_it_holds(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.server_certificate(["localhost", "127.0.0.1"])
    first = chain.read_bytes()
    names = leaf_of(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names) == {x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))}
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    Authority(tmp_path).server_certificate(["127.0.0.1", "localhost"])
    assert chain.read_bytes() == first


def test_server_certificate_is_issued_again_for_other_hosts_and_near_its_end(tmp_path: Path) -> None:
    clock = Clock()
    authority = Authority(tmp_path, clock)
    chain, _ = authority.server_certificate(["localhost"])
    first = leaf_of(chain.read_bytes())
    authority.server_certificate(["cloud.example"])
    second = leaf_of(chain.read_bytes())
    clock.now += timedelta(days=70)
    authority.server_certificate(["cloud.example"])
    third = leaf_of(chain.read_bytes())
    assert len({first.serial_number, second.serial_number, third.serial_number}) == 3
    assert third.not_valid_after_utc > second.not_valid_after_utc


def test_authorities_near_their_end_are_issued_again_and_old_certificates_still_hold(tmp_path: Path) -> None:
    clock = Clock()
    old = Authority(tmp_path, clock).issue_vehicle("abc234", "default", days=900)
    clock.now += timedelta(days=800)
    authority = Authority(tmp_path, clock)
    root, renewed = x509.load_pem_x509_certificates(authority.vehicle_trust.read_bytes())
    assert renewed.not_valid_after_utc > clock.now + timedelta(days=1000)
    verifier = PolicyBuilder().store(Store([root])).time(clock.now).build_client_verifier()
    verifier.verify(leaf_of(old.chain), [renewed])


def test_vehicle_certificate_never_outlives_its_authority(tmp_path: Path) -> None:
    leaf, intermediate = x509.load_pem_x509_certificates(Authority(tmp_path).issue_vehicle("a", "t", 5000).chain)
    assert leaf.not_valid_after_utc <= intermediate.not_valid_after_utc


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    Authority(tmp_path / "keys").server_certificate(["localhost"])
    for file in (tmp_path / "keys").rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) in ((0o700,) if file.is_dir() else (0o600,))
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_authority_opened_by_many_at_once_is_one_authority(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(Authority(tmp_path).vehicle_trust.read_bytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["authority"]


def test_root_key_may_be_kept_elsewhere_until_an_authority_must_be_issued_again(tmp_path: Path) -> None:
    clock = Clock()
    Authority(tmp_path, clock)
    (tmp_path / "authority" / "root.key").rename(tmp_path / "safe")
    Authority(tmp_path, clock).issue_vehicle("abc234", "default")
    clock.now += timedelta(days=800)
    with pytest.raises(MissingError, match=r"root\.key.*Bring it back"):
        Authority(tmp_path, clock)
