"""How the API is described: operations, the token, and the error answers of each, as OpenAPI."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from audience.api import errors
from audience.tenancy import acting_for

_Operation = dict[str, Any]
_OF_EVERY_OPERATION = (
    errors.UNAUTHENTICATED,
    errors.FORBIDDEN,
    errors.RATE_LIMITED,
    errors.INTERNAL,
    errors.UNAVAILABLE,
)
_OF_A_BODY = (
    errors.INVALID,
    errors.MALFORMED,
    errors.LENGTH_REQUIRED,
    errors.PAYLOAD_TOO_LARGE,
    errors.UNSUPPORTED_MEDIA_TYPE,
)
_METHODS = ("get", "post", "patch", "delete")
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "For programs. It stays when the message gets better words."},
        "message": {"type": "string", "description": "For people: what is wrong, and what to do."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "With `invalid`: what is wrong with which field or query parameter.",
        },
        "problems": {
            "type": "array",
            "items": {"type": "object"},
            "description": "With a rule that is refused: each as `POST /rules/validate` tells it.",
        },
        "reference": {"type": "string", "description": "With 500 and 503: the number under which the log has it."},
    },
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "audience.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token of Settings › API tokens."}


class Operations(AutoSchema):
    """Operation ids read `segments.list`."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Describe an operation for nobody in particular: no advertiser has the id 0."""
        with acting_for(0):
            return super().get_operation(*args, **kwargs)

    def get_operation_id(self) -> str:
        return f"{self.get_tags()[0]}.{getattr(self.view, 'action', self.method.lower())}"


def add_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give every operation its error answers: a hook of the schema's generation."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = _ERROR
    components["responses"] = {kind.code: _response(kind) for kind in errors.KINDS}
    for path, operations in result["paths"].items():
        for method in _METHODS:
            if method in operations:
                _add_errors(path, method, operations[method])
    return result


def _add_errors(path: str, method: str, operation: _Operation) -> None:
    kinds = list(_OF_EVERY_OPERATION)
    if method != "get" and "requestBody" in operation:
        kinds += _OF_A_BODY
    if "{" in path:
        kinds.append(errors.NOT_FOUND)
    if method != "get" or "application/json" not in operation["responses"]["200"].get("content", {}):
        kinds.append(errors.CONFLICT)
    responses = operation["responses"]
    # Every operation refuses unknown query parameters, so each has a 400.
    for kind in {errors.INVALID.status: errors.INVALID, **{kind.status: kind for kind in reversed(kinds)}}.values():
        responses.setdefault(str(kind.status), {"$ref": f"#/components/responses/{kind.code}"})
    operation["responses"] = dict(sorted(responses.items()))


def _response(kind: errors.Kind) -> dict[str, Any]:
    example: dict[str, Any] = {"code": kind.code, "message": kind.message}
    if kind is errors.INVALID:
        example |= {
            "message": "code: You have a segment with this code already. Capitals do not matter.",
            "fields": {"code": ["You have a segment with this code already. Capitals do not matter."]},
        }
    if kind.status >= 500:
        example |= {"message": f"{kind.message} Reference 5d0c2a91f3b7.", "reference": "5d0c2a91f3b7"}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "example": example}}
    response: dict[str, Any] = {"description": kind.message, "content": content}
    if kind in (errors.RATE_LIMITED, errors.UNAVAILABLE):
        seconds = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        response["headers"] = {"Retry-After": seconds}
    return response
