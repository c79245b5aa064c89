"""One JSON shape for whatever goes wrong: `{"error": {"code", "message", "do"}}`."""

import logging
import re

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from carcloud.api.viss.messages import failure, moment
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError, TryLaterError

log = logging.getLogger(__name__)

VISS = re.compile(r"/v1/vehicles/[^/]+/viss(/.*)?", re.DOTALL)
STATUS = {InputError: 400, NotAllowedError: 403, MissingError: 404, ConflictError: 409, TryLaterError: 503}
DO_STATUS = {
    404: (MissingError, "Nothing is at this address.", "See /v1/openapi.json for what there is."),
    408: (InputError, "The body did not arrive in time.", "Send it again, at once."),
    413: (InputError, "The body is larger than the API takes.", "Send less at once."),
    405: (InputError, "This address does not take this method.", "See /v1/openapi.json for what it takes."),
}


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(
        description="input, not_allowed, code_needed, factor_needed, missing, conflict, try_later or error"
    )
    message: str = Field(description="What went wrong, in one sentence")
    do: str = Field(description="What to do about it")


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


RESPONSES: dict[int | str, dict[str, object]] = {
    "4XX": {"model": ErrorBody, "description": "Refused; `error.do` says what to do"},
    "5XX": {"model": ErrorBody, "description": "Not possible now"},
}


def error_response(error: CarcloudError, status: int | None = None) -> JSONResponse:
    """Return an error as the API's one shape."""
    known = status or getattr(error, "status", None)
    code = known or next((code for family, code in STATUS.items() if isinstance(error, family)), 500)
    detail = ErrorDetail(code=error.code, message=error.message, do=error.do)
    headers = {"retry-after": "1"} if code in (429, 503) else {}
    return JSONResponse(ErrorBody(error=detail).model_dump(), code, headers)


def answer_of(path: str, error: CarcloudError, status: int | None = None) -> JSONResponse:
    """Return an error in the shape that clients of an address expect: the API's, or that of VISS."""
    if not VISS.fullmatch(path):
        return error_response(error, status)
    said = failure(error, status)
    number = int(said["number"])
    headers = {"www-authenticate": 'Bearer error="invalid_token"'} if number == 401 else {}
    return JSONResponse({"error": said, "ts": moment()}, number, headers)


def install(app: FastAPI) -> None:
    """Make the app answer every error in the one shape."""

    @app.exception_handler(CarcloudError)
    async def refused(request: Request, error: CarcloudError) -> JSONResponse:
        return answer_of(request.url.path, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]).encode(errors="replace").decode()
        wrong = InputError(f"{place}: {first['msg']}.", "Mend it; /v1/openapi.json describes the call.")
        return answer_of(request.url.path, wrong)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        family, message, do = DO_STATUS.get(error.status_code, (InputError, str(error.detail), ""))
        return answer_of(request.url.path, family(message, do), error.status_code)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer_of(
            request.url.path, CarcloudError("Something failed inside the zone.", "See the zone's log."), 500
        )
