from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carcloud.errors import InputError, TryLaterError
from carcloud.safety.identity import Authority, renewable_from, vehicle_identity
from carcloud.safety.issuer import CERTIFICATE, Issuer, issue
from carcloud.safety.signer import SignerClient
from tests.unit.safety.test_signer import Running

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
PUBLIC = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_signer_issues_a_certificate_for_a_key_it_never_saw_the_private_part_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "keys")
    with Running(tmp_path, others={CERTIFICATE: Issuer(authority).answer}) as running:
        given = issue(SignerClient(running.run), PUBLIC, "a" * 16, "default", 30)
    leaf, above = x509.load_pem_x509_certificates(given.chain)
    leaf.verify_directly_issued_by(above)
    assert leaf.public_key() == KEY
    identity = vehicle_identity(leaf)
    assert (identity.vehicle, identity.tenant, identity.serial) == ("a" * 16, "default", given.serial)
    assert given.not_after - given.issued_at > timedelta(days=29)
    assert renewable_from(leaf) - given.issued_at > timedelta(days=19)


def test_signer_without_an_authority_issues_nothing(tmp_path: Path) -> None:
    with Running(tmp_path) as running, pytest.raises(InputError, match="refused"):
        issue(SignerClient(running.run), PUBLIC, "a" * 16, "default")
    with pytest.raises(TryLaterError):
        issue(SignerClient(tmp_path / "nowhere"), PUBLIC, "a" * 16, "default")


@pytest.mark.parametrize(
    "change",
    [
        *({"vehicle": "a.b"}, {"vehicle": ""}, {"vehicle": 7}, {"tenant": "*"}, {"days": 0}, {"days": 399}),
        *({"days": 1.5}, {"days": "30"}, {"key": "AAAA"}, {"key": None}, {"key": "ü"}),
    ],
)
def test_request_the_authority_does_not_issue_for(tmp_path: Path, change: dict[str, object]) -> None:
    asked = {"vehicle": "a" * 16, "tenant": "default", "days": 30, "key": ""} | change
    with pytest.raises(InputError):
        Issuer(Authority(tmp_path / "keys")).answer(orjson.dumps(asked))
