"""A candidate: a planner that passed the gate, named in a statement that the zone's signer signs.

Rules:
* The statement names the planner by the hash of its file, the verdict by its digest, and what both stand on.
* Whoever holds the zone's public key `keys/candidate.pub` can check it, without the zone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import orjson

from carcloud.backends.records.runs import Candidate, KeptVerdict
from carcloud.errors import ConflictError
from carcloud.research.gate.verdict import Verdict
from carcloud.safety.signer import Signature


def kept(verdict: Verdict, tenant: str, by: str, at: datetime) -> KeptVerdict:
    """Return a verdict as the records keep it."""
    said = verdict.said
    runs = said["baseline"]["run"], said["candidate"]["run"]
    return KeptVerdict(tenant, verdict.digest, *runs, verdict.passed, verdict.document, by, at)


def candidate_of(
    verdict: Verdict, tenant: str, zone: str, by: str, at: datetime, sign: Callable[[bytes], Signature]
) -> Candidate:
    """Return the candidate that a passed verdict leaves, signed. Raise ConflictError where it did not pass."""
    if not verdict.passed:
        raise ConflictError("The planner did not pass the gate.", "Mend it, and run it again.")
    said = verdict.said
    statement = orjson.dumps(
        {
            "format": 1,
            "zone": zone,
            "tenant": tenant,
            "planner": said["candidate"]["planner"],
            "planner_hash": said["candidate"]["planner_hash"],
            "baseline_hash": said["baseline"]["planner_hash"],
            "verdict": verdict.digest,
            "scenarios_hash": said["scenarios"]["hash"],
            "limits_hash": said["limits"]["hash"],
            "software_version": said["software_version"],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    signed = sign(statement)
    return Candidate(
        tenant,
        hashlib.sha256(statement).hexdigest(),
        said["candidate"]["planner"],
        said["candidate"]["planner_hash"],
        verdict.digest,
        statement,
        signed.key_id,
        signed.value,
        by,
        at,
    )
