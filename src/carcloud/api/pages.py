"""The console's built pages. Everything that is no API address is the console."""

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from carcloud.api.ports import Wired

FOREVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"
NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>carcloud</title></head><body>
<h1>The zone runs; its console is not built.</h1>
<p>Run <code>make console</code> in the repository, then load this page again. The wheel carries the built pages.</p>
<p>The API works without it: see <a href="/healthz">/healthz</a> and <a href="/metrics">/metrics</a>.</p>
</body></html>
"""


routes = APIRouter(include_in_schema=False)


@routes.api_route("/{path:path}", methods=["GET", "HEAD"])
def page(ports: Wired, path: str) -> Response:
    """Serve a file of the console, or the console itself for a path that names none."""
    folder = ports.pages.resolve()
    if path == "v1" or path.startswith("v1/"):
        raise HTTPException(404)
    file = _file(folder, path)
    if file is not None:
        kept = FOREVER if path.startswith("assets/") else ASK_EACH_TIME
        return FileResponse(file, headers={"cache-control": kept})
    if "." in path.rsplit("/", 1)[-1]:
        raise HTTPException(404)
    if not (folder / "index.html").is_file():
        return HTMLResponse(NOT_BUILT, 503, {"cache-control": "no-store"})
    return FileResponse(folder / "index.html", headers={"cache-control": ASK_EACH_TIME})


def _file(folder: Path, path: str) -> Path | None:
    """Return the file of this path, never one outside the folder."""
    try:
        file = (folder / path).resolve()
        return file if file.is_relative_to(folder) and file.is_file() else None
    except (ValueError, OSError):
        return None
