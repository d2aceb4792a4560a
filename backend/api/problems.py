"""Every error leaves as an RFC 9457 problem with a stable `code` and the request's id."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from backend.errors import InputError, InvalidRequest, MethodNotAllowed, NotFound, SonicaError

MEDIA_TYPE = "application/problem+json"
ERRORS_PATH = "/docs/errors"
router = APIRouter()

_OF_STATUS: dict[int, type[SonicaError]] = {
    400: InvalidRequest,  # Starlette's word for a malformed multipart body
    404: NotFound,
    405: MethodNotAllowed,
}


class Problem(BaseModel):
    """A problem as of RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[dict[str, str]] | None = Field(
        None, description="The `location` and `detail` of each field that is wrong."
    )


def problem_response(error: SonicaError, scope: Scope, *, errors: list[dict[str, str]] | None = None) -> Response:
    """Return the response that tells of the error, and leave its code in the request's state."""
    scope["state"]["problem"] = error.code
    problem = Problem(
        type=f"{ERRORS_PATH}#{error.code}",
        title=title(type(error)),
        status=error.status,
        detail=error.detail,
        instance=scope["path"],
        code=error.code,
        request_id=scope["state"]["request_id"],
        errors=errors,
    )
    headers = {"Cache-Control": error.cache_control}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=error.status, headers=headers, media_type=MEDIA_TYPE)


def answer_with_problems(app: FastAPI) -> None:
    """Make the app answer its own and the framework's errors as problems."""
    app.add_exception_handler(SonicaError, _on_sonica_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_examples(*errors: type[SonicaError]) -> dict[int | str, dict[str, Any]]:
    """Return what FastAPI's `responses` takes: an example for each error, by status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        content = {MEDIA_TYPE: {"schema": Problem.model_json_schema(), "examples": {}}}
        response = responses.setdefault(error.status, {"description": "", "content": content})
        response["description"] = " ".join(filter(None, [response["description"], title(error)]))
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"value": _example(error)}
    return responses


def error_tree(root: type[SonicaError] = SonicaError) -> Iterator[type[SonicaError]]:
    """Yield every error of the tree that has a code of its own, parents first."""
    if "code" in vars(root):
        yield root
    for child in root.__subclasses__():
        yield from error_tree(child)


def errors_table() -> str:
    """Return the table of all codes, in Markdown."""
    rows = [f"| `{error.code}` | {error.status} | {title(error)} |" for error in error_tree()]
    return "\n".join(["| code | status | meaning |", "|---|---|---|", *rows])


def title(error: type[SonicaError]) -> str:
    """Return the error's one sentence."""
    return (error.__doc__ or "").strip().splitlines()[0]


@router.get(ERRORS_PATH, include_in_schema=False)
async def errors_page() -> HTMLResponse:
    """Show what each problem's `type` points to."""
    rows = "".join(
        f'<dt id="{error.code}"><code>{error.code}</code> ({error.status})</dt><dd>{escape(title(error))}</dd>'
        for error in error_tree()
    )
    return HTMLResponse(
        f'<!doctype html><html lang="en"><title>Sonica: errors</title><h1>Errors</h1><dl>{rows}</dl></html>'
    )


def _example(error: type[SonicaError]) -> dict[str, Any]:
    return {
        "type": f"{ERRORS_PATH}#{error.code}",
        "title": title(error),
        "status": error.status,
        "detail": title(error),
        "instance": "/v1/recognize",
        "code": error.code,
        "request_id": "5f1c0e2ab7cf4f5c9d3f6f2f1f0c7a11",
    }


async def _on_sonica_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SonicaError)
    return problem_response(error, request.scope)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"location": ".".join(map(str, each["loc"])), "detail": each["msg"]} for each in error.errors()]
    return problem_response(InvalidRequest(), request.scope, errors=errors)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    default = InputError if error.status_code < 500 else SonicaError
    known = _OF_STATUS.get(error.status_code, default)
    # Starlette's details of a 404 and a 405 are but the names of the statuses.
    response = problem_response(known(error.detail if known is InvalidRequest else None), request.scope)
    response.headers.update(error.headers or {})
    return response
