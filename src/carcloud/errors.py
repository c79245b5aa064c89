"""The error tree. A family says what the caller can do about it.

CarcloudError
├── InputError       fix what you sent
├── NotAllowedError  ask for the right, or stop
├── MissingError     it is not there
├── ConflictError    it stands in the way of what is there
└── TryLaterError    the same call may succeed later

What policy expects to happen (a refused row, a quarantined batch) is a value, `Refusal`, not an error.
"""


class CarcloudError(Exception):
    """Something went wrong, said in one sentence, with what to do about it in another."""

    code = "error"

    def __init__(self, message: str, do: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.do = do

    def __str__(self) -> str:
        return f"{self.message} {self.do}".strip()


class InputError(CarcloudError):
    """The input is wrong; the caller can mend it."""

    code = "input"


class NotAllowedError(CarcloudError):
    """The caller has not the right."""

    code = "not_allowed"


class MissingError(CarcloudError):
    """The thing named does not exist."""

    code = "missing"


class ConflictError(CarcloudError):
    """The request contradicts what already stands."""

    code = "conflict"


class TryLaterError(CarcloudError):
    """Not possible now; the same call may succeed later."""

    code = "try_later"


FAMILIES = {error.code: error for error in (InputError, NotAllowedError, MissingError, ConflictError, TryLaterError)}
"""The families by their codes, for whoever hears of an error from another process."""
