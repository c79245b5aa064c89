"""Prints the API's OpenAPI description, from which clients' types are made: `python -m carcloud.api.openapi`."""

import sys

import orjson

from carcloud.api.app import describe

if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(describe().openapi(), option=orjson.OPT_INDENT_2) + b"\n")
