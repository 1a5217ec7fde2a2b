"""Every error a user can meet. Each message ends in the next action.

RpjError                 anything below; the command line prints it without a traceback
├── UsageError           a mistake in the command or the configuration          exit 2
├── MissingModel         a model, tool or extra that is not there               exit 2
├── RootInUse            another run holds this root                            exit 4
├── StorageError         disk full, root not writable, object store refuses     exit 5
└── BrokenInput          one raw file cannot be read (further): its shard is
                         reported, the run goes on                              exit 3
"""

from __future__ import annotations


class RpjError(Exception):
    """Base of every error that is the user's to act on; ``exit_code`` is what the command line exits with."""

    exit_code = 1


class UsageError(RpjError):
    """The command line or the configuration asks for something that cannot be done."""

    exit_code = 2


class MissingModel(RpjError):
    """A model, an external tool or an optional dependency is missing; the message names the command that gets it."""

    exit_code = 2


class RootInUse(RpjError):
    """Another run holds the root."""

    exit_code = 4


class StorageError(RpjError):
    """The root cannot be written: the run stops, nothing half written remains."""

    exit_code = 5


class BrokenInput(RpjError):
    """A raw file cannot be read, or not beyond ``place``; what was read before stays.

    ``message`` says what was found and what to do, ``place`` where (byte, record, member).
    """

    exit_code = 3

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place

    def __reduce__(self) -> tuple[type[BrokenInput], tuple[str, str]]:
        return (BrokenInput, (self.message, self.place))
