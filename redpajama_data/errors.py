"""Every error a user can meet. Each message ends in the next action.

RpjError                 anything below; the command line prints it without a traceback
├── UsageError           a mistake in the command or the configuration          exit 2
├── MissingModel         a model, tool or extra that is not there               exit 2
├── RootInUse            another run holds this root                            exit 4
├── StorageError         disk full, root not writable, object store refuses     exit 5
├── TooManyDefects       a step of rpj itself raises on a share of a shard      exit 3
├── WorkersLost          no worker can run a task any more: the Ray cluster is
│                        gone, no process can be started                        exit 7
├── BrokenInput          the content of one raw file is damaged: final, what
│                        is whole is kept, the rest is reported                 exit 3
└── InputUnavailable     a file cannot be read now (time-out, credentials, a
                         disk that fails), after several tries: its task fails
                         and the next run tries it again                        exit 3
"""

from __future__ import annotations

import msgspec

# What msgspec raises on bytes that are not the JSON asked for: damaged, not in UTF-8, nested too deep.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


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
    """The root cannot be written or looked at, after several tries: nothing half written remains.

    ``passing`` says that the next file may go better (one request of an object store that failed to the end): in a task
    it costs that task, which the next run tries again. Anything else (a full disk), and anything outside of a task,
    ends the run.
    """

    exit_code = 5

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class TooManyDefects(RpjError):
    """A step raised on more of a shard's records than can be left out: the shard fails and is tried by the next run."""

    exit_code = 3


class WorkersLost(RpjError):
    """Nothing can run tasks any more: the connection to the cluster is lost, or no process can be started. What was
    done is kept."""

    exit_code = 7


class BrokenInput(RpjError):
    """The content of a raw file is damaged: the decoder says so, or the data ends early although the file was read to
    its full length. Reading it again would give the same, so what is whole is kept and the task counts as done.

    A reader raises it where it cannot go on, or yields it where it can (the damaged place is then behind it).

    ``message`` says what was found and what to do, ``place`` where (byte, record, member).
    """

    exit_code = 3

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place

    def __reduce__(self) -> tuple[type[BrokenInput], tuple[str, str]]:
        return (BrokenInput, (self.message, self.place))


class InputUnavailable(RpjError):
    """A file could not be read for a reason that may pass, after several tries: a request that fails, expired
    credentials, an input/output error, a file that is away. Never a statement about its content: the task fails, leaves
    no receipt, and the next run tries it again."""

    exit_code = 3
