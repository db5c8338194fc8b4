"""Every error of the application, as one tree.

    AppException                        500 INTERNAL_ERROR
    ├── AuthenticationError             401 AUTH_ERROR
    │   ├── TokenExpiredError           401 TOKEN_EXPIRED
    │   └── InvalidTokenError           401 INVALID_TOKEN
    ├── AuthorizationError              403 AUTHORIZATION_ERROR
    ├── ValidationError                 422 VALIDATION_ERROR
    │   ├── VideoValidationError        422 VIDEO_VALIDATION_ERROR
    │   └── PlatformValidationError     422 PLATFORM_VALIDATION_ERROR
    ├── PayloadTooLargeError            413 PAYLOAD_TOO_LARGE
    ├── ResourceNotFoundError           404 RESOURCE_NOT_FOUND
    ├── ResourceAlreadyExistsError      409 RESOURCE_ALREADY_EXISTS
    │   └── StateConflictError          409 STATE_CONFLICT
    │       ├── PreconditionFailedError 412 PRECONDITION_FAILED
    │       ├── UploadGoneError         410 UPLOAD_GONE
    │       ├── UploadLockedError       423 UPLOAD_LOCKED
    │       └── ChecksumMismatchError   460 CHECKSUM_MISMATCH
    ├── PlatformAPIError                502 PLATFORM_API_ERROR
    │   ├── PlatformAuthError           502 PLATFORM_AUTH_ERROR
    │   ├── PlatformRateLimitError      429 PLATFORM_RATE_LIMIT
    │   └── PlatformUploadError         502 PLATFORM_UPLOAD_ERROR
    ├── StorageError                    500 STORAGE_ERROR
    │   ├── S3UploadError               500 S3_UPLOAD_ERROR
    │   └── S3DownloadError             500 S3_DOWNLOAD_ERROR
    ├── VideoProcessingError            500 VIDEO_PROCESSING_ERROR
    │   └── VideoConversionError        500 VIDEO_CONVERSION_ERROR
    ├── DatabaseError                   500 DATABASE_ERROR
    ├── RateLimitExceededError          429 RATE_LIMIT_EXCEEDED
    ├── ServiceUnavailableError         503 SERVICE_UNAVAILABLE
    ├── ScheduleError                   400 SCHEDULE_ERROR
    │   └── InvalidScheduleTimeError    400 INVALID_SCHEDULE_TIME
    └── RepostError                     400 REPOST_ERROR
        └── RepostTooSoonError          400 REPOST_TOO_SOON

`code` and `status` are class attributes; whoever raises gives facts, not prose. Messages are read by
users: they say what was found, what is allowed and what to do, and never carry a secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

ErrorKind = Literal[
    "reauth", "rate", "quota", "transient", "media", "content", "account", "config", "ambiguous"
]
ErrorAction = Literal["edit", "reconnect", "wait", "check_platform"]

# kind -> (worth trying again without a person, what the person should do)
KIND_POLICY: dict[ErrorKind, tuple[bool, ErrorAction]] = {
    "reauth": (False, "reconnect"),
    "rate": (True, "wait"), "quota": (True, "wait"), "transient": (True, "wait"),
    "media": (False, "edit"), "content": (False, "edit"),
    "account": (False, "check_platform"), "config": (False, "check_platform"), "ambiguous": (False, "check_platform"),
}  # fmt: skip


class AppException(Exception):  # noqa: N818 - the guide's name
    """Root of the tree: anything the application raises on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    default_message: ClassVar[str] = "Something went wrong on our side. Please try again."

    def __init__(self, message: str | None = None, details: dict[str, Any] | None = None) -> None:
        self.message = message or self.default_message
        self.details: dict[str, Any] = details or {}
        super().__init__(self.message)

    def to_dict(self) -> dict[str, Any]:
        """Return the inner object of the error envelope: code, message, details."""
        return {"code": self.code, "message": self.message, "details": self.details}


class AuthenticationError(AppException):
    status, code = 401, "AUTH_ERROR"
    default_message = "Please log in or send an API key."


class TokenExpiredError(AuthenticationError):
    code = "TOKEN_EXPIRED"
    default_message = "This token has expired. Refresh it or log in again."


class InvalidTokenError(AuthenticationError):
    code = "INVALID_TOKEN"
    default_message = "This token is not valid. Log in again or check the API key."


class AuthorizationError(AppException):
    status, code = 403, "AUTHORIZATION_ERROR"
    default_message = "Your role or key does not allow this."


class ValidationError(AppException):
    """Input that breaks a rule; `details` maps each field to its problems."""

    status, code = 422, "VALIDATION_ERROR"
    default_message = "Some of the input is not valid. See details for each field."


class VideoValidationError(ValidationError):
    code = "VIDEO_VALIDATION_ERROR"


class PlatformValidationError(ValidationError):
    code = "PLATFORM_VALIDATION_ERROR"


class PayloadTooLargeError(AppException):
    """More bytes than are allowed; details say `found` (as far as known) and `allowed`, in bytes."""

    status, code = 413, "PAYLOAD_TOO_LARGE"
    default_message = "This is larger than is allowed."


class StorageQuotaError(PayloadTooLargeError):
    """The workspace would store more than it may; details say `found`, `allowed` and `used`, in bytes."""

    code = "STORAGE_QUOTA_EXCEEDED"
    default_message = "This workspace stores as much as it may."


class ResourceNotFoundError(AppException):
    status, code = 404, "RESOURCE_NOT_FOUND"

    def __init__(
        self,
        message: str | None = None,
        details: dict[str, Any] | None = None,
        *,
        resource_type: str = "Resource",
        resource_id: object = None,
    ) -> None:
        facts = {"resource_type": resource_type, "resource_id": str(resource_id)}
        super().__init__(message or f"{resource_type} with ID {resource_id} not found", details or facts)


class ResourceAlreadyExistsError(AppException):
    status, code = 409, "RESOURCE_ALREADY_EXISTS"
    default_message = "This already exists."


class StateConflictError(ResourceAlreadyExistsError):
    """The resource is in a state in which this cannot be done; details say which and what can."""

    code = "STATE_CONFLICT"
    default_message = "This cannot be done in the resource's present state."


class PreconditionFailedError(StateConflictError):
    """The caller knew an older version of the resource; details say `found` and the present `version`."""

    status, code = 412, "PRECONDITION_FAILED"
    default_message = "It was changed meanwhile. Read it again and repeat with its new version."


class UploadGoneError(StateConflictError):
    status, code = 410, "UPLOAD_GONE"
    default_message = "This upload has ended. Begin a new one."


class UploadLockedError(StateConflictError):
    status, code = 423, "UPLOAD_LOCKED"
    default_message = "Another request is sending to this upload. Ask for its offset in a few seconds."


class ChecksumMismatchError(StateConflictError):
    status, code = 460, "CHECKSUM_MISMATCH"  # tus 1.0.0, "Checksum"
    default_message = "The bytes that arrived do not have this checksum. Send them again."


class PlatformAPIError(AppException):
    """A platform refused, failed or could not be understood.

    `kind` says what sort of trouble it is; `retryable` and `action` follow from it by KIND_POLICY.
    `retry_at` is an aware UTC instant before which trying again is pointless, if known.
    """

    status, code = 502, "PLATFORM_API_ERROR"
    default_message = "The platform answered with an error."
    default_kind: ClassVar[ErrorKind] = "transient"

    def __init__(
        self,
        message: str | None = None,
        details: dict[str, Any] | None = None,
        *,
        platform: str = "",
        kind: ErrorKind | None = None,
        platform_code: str | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message, details)
        self.platform = platform
        self.kind: ErrorKind = kind or self.default_kind
        self.platform_code = platform_code
        self.retry_at = retry_at

    @property
    def retryable(self) -> bool:
        return KIND_POLICY[self.kind][0]

    @property
    def action(self) -> ErrorAction:
        return KIND_POLICY[self.kind][1]

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "platform": self.platform,
            "platform_code": self.platform_code,
            "kind": self.kind,
            "retryable": self.retryable,
            "retry_at": self.retry_at.isoformat().replace("+00:00", "Z") if self.retry_at else None,
            "action": self.action,
        }


class PlatformAuthError(PlatformAPIError):
    code = "PLATFORM_AUTH_ERROR"
    default_kind = "reauth"
    default_message = "The platform no longer accepts this connection. Reconnect the channel."


class PlatformRateLimitError(PlatformAPIError):
    status, code = 429, "PLATFORM_RATE_LIMIT"
    default_kind = "rate"
    default_message = "The platform asks us to slow down. We try again later."


class PlatformUploadError(PlatformAPIError):
    code = "PLATFORM_UPLOAD_ERROR"
    default_kind = "media"
    default_message = "The platform did not accept the video."


class StorageError(AppException):
    code = "STORAGE_ERROR"
    default_message = "The file storage did not answer as expected. Please try again."


class S3UploadError(StorageError):
    code = "S3_UPLOAD_ERROR"


class S3DownloadError(StorageError):
    code = "S3_DOWNLOAD_ERROR"


class VideoProcessingError(AppException):
    code = "VIDEO_PROCESSING_ERROR"
    default_message = "The video could not be processed."


class VideoConversionError(VideoProcessingError):
    code = "VIDEO_CONVERSION_ERROR"
    default_message = "The video could not be converted."


class DatabaseError(AppException):
    code = "DATABASE_ERROR"
    default_message = "The database did not answer as expected. Please try again."


class RateLimitExceededError(AppException):
    status, code = 429, "RATE_LIMIT_EXCEEDED"
    default_message = "Too many requests. Wait a moment and try again."


class ServiceUnavailableError(AppException):
    """A part this request needs is away or full; `details.retry_after` is in seconds."""

    status, code = 503, "SERVICE_UNAVAILABLE"
    default_message = "The service is not able to do this right now. Try again shortly."


class ScheduleError(AppException):
    status, code = 400, "SCHEDULE_ERROR"
    default_message = "This cannot be scheduled."


class InvalidScheduleTimeError(ScheduleError):
    code = "INVALID_SCHEDULE_TIME"


class RepostError(AppException):
    status, code = 400, "REPOST_ERROR"
    default_message = "This cannot be reposted."


class RepostTooSoonError(RepostError):
    code = "REPOST_TOO_SOON"

    def __init__(self, *, platform: str, hours_remaining: float, next_allowed_at: datetime) -> None:
        when = next_allowed_at.isoformat().replace("+00:00", "Z")
        super().__init__(
            f"This content went to this channel less than 24 hours ago. It may go again from {when}.",
            {"platform": platform, "hours_remaining": round(hours_remaining, 2), "next_allowed_at": when},
        )
