"""The exceptions of the official SDK under its names: each is the equivalent class of this package.

`except` clauses keep working, and so do `status`, `reason`, `body`, `headers` and `data` of what they catch. `status`
is None when no answer arrived, which the official SDK reported with exceptions of urllib3.
"""

from aihub_async.errors import (
    AIHubError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    ServerError,
    UnprocessableError,
)

# fmt: off
OpenApiException             = AIHubError
ApiException                 = RequestError
BadRequestException          = BadRequestError
UnauthorizedException        = AuthenticationError
ForbiddenException           = ForbiddenError
NotFoundException            = NotFoundError
ConflictException            = ConflictError
UnprocessableEntityException = UnprocessableError
ServiceException             = ServerError
ApiTypeError                 = InvalidRequestError
ApiValueError                = InvalidRequestError
ApiKeyError                  = InvalidRequestError
ApiAttributeError            = InvalidRequestError
# fmt: on

__all__ = [
    "ApiAttributeError",
    "ApiException",
    "ApiKeyError",
    "ApiTypeError",
    "ApiValueError",
    "BadRequestException",
    "ConflictException",
    "ForbiddenException",
    "NotFoundException",
    "OpenApiException",
    "ServiceException",
    "UnauthorizedException",
    "UnprocessableEntityException",
]
