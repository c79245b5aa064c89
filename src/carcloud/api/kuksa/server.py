"""The gRPC server of the kuksa door.

- It speaks plain, as the API does: on the machine itself, or behind what ends TLS.
- Bounds: 256 calls at once, 1 MB a message, 16 KiB of headers; who is silent is asked, and hung up on.

Source: grpc.github.io/grpc/core, channel arguments.
"""

import grpc.aio
from kuksa.val.v1 import val_pb2_grpc as stubs_v1
from kuksa.val.v2 import val_pb2_grpc as stubs_v2

from carcloud.api.kuksa.first import First
from carcloud.api.kuksa.guests import Guests
from carcloud.api.kuksa.second import Second
from carcloud.api.ports import Access, TwinPorts
from carcloud.errors import ConflictError

LIMIT_CALLS = 256
LIMIT_MESSAGE_BYTES = 1_000_000
LIMIT_HEADER_BYTES = 16 * 1024
ASK_AFTER_MS, ANSWER_WITHIN_MS = 30_000, 10_000
OPTIONS = (
    ("grpc.max_receive_message_length", LIMIT_MESSAGE_BYTES),
    ("grpc.max_metadata_size", LIMIT_HEADER_BYTES),
    ("grpc.absolute_max_metadata_size", LIMIT_HEADER_BYTES),
    ("grpc.keepalive_time_ms", ASK_AFTER_MS),
    ("grpc.keepalive_timeout_ms", ANSWER_WITHIN_MS),
    ("grpc.so_reuseport", 0),
)


def make_server(ports: TwinPorts, access: Access, address: str) -> grpc.aio.Server:
    """Return a server for one zone, not yet started. Raise ConflictError where the address is not free."""
    server, guests = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=LIMIT_CALLS), Guests(ports, access)
    stubs_v1.add_VALServicer_to_server(First(guests), server)
    stubs_v2.add_VALServicer_to_server(Second(guests), server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise ConflictError(f"{address} is not free.", "Set listen.kuksa to another port.")
    return server
