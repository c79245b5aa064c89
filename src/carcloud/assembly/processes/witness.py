"""The zone's own witness of its audit log, with a key and a memory of its own."""

from __future__ import annotations

import uvicorn

from carcloud.assembly.context import Context
from carcloud.assembly.log_keys import key_of_log
from carcloud.assembly.serving import QuietServer
from carcloud.backends.http import PromptHttp
from carcloud.safety.audit.door import witness_app
from carcloud.safety.audit.note import parse_key
from carcloud.safety.audit.witness import Witness
from carcloud.safety.audit.witnesses import BUILT_IN
from carcloud.safety.keys import private_folder, write_file
from carcloud.safety.sockets import bound_socket, remove_socket


async def run(context: Context) -> None:
    """Cosign what continues the log, as it knows it from the first time."""
    state = private_folder(context.folder.witness)
    known = state / "log.pub"  # the key of the first time: who replaces the log's key finds no witness
    if not known.exists():
        write_file(known, f"{await key_of_log(context.folder, context.settings)}\n".encode(), 0o644)
    witness = Witness(state, [parse_key(known.read_text())], f"carcloud/{context.settings.zone}/witness")
    config = uvicorn.Config(
        witness_app(witness),
        http=PromptHttp,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=16,
    )
    listener = bound_socket(context.folder.run, BUILT_IN)
    try:
        await QuietServer(config).serve(sockets=[listener])
    finally:
        remove_socket(context.folder.run, BUILT_IN)
        witness.close()
