"""Every failure that prunebench explains in one sentence, with the exit code it ends in.

0 ok; 1 the run could not go on; 2 the user must change something; 3 a cell failed; 4 a check or verification failed.
"""


class PrunebenchError(Exception):
    """A failure told in one sentence: what, where, and the way out."""

    exit_code = 1


class UserError(PrunebenchError):
    """Something the user must change, visible before any cell starts (unknown name, missing data, refused file)."""

    exit_code = 2


class MethodError(PrunebenchError):
    """A method broke its contract or raised: this cell has no number."""

    exit_code = 3


class CellError(PrunebenchError):
    """A cell could not be finished (a diverged training, a failed method): it is counted, never ranked."""

    exit_code = 3


class VerifyError(PrunebenchError):
    """A record or a plugin does not pass its checks."""

    exit_code = 4


class StoreError(PrunebenchError):
    """The store cannot be read or written: the run itself cannot go on."""

    exit_code = 1


def kind_and_text(failure: BaseException) -> str:
    """Of an error that is none of ours: its kind, and its message where it has one that can be told."""
    try:
        text = str(failure).strip()
    except Exception:  # a stranger's
        text = ""
    return f"{type(failure).__name__}: {text}" if text else type(failure).__name__


class Terminated(BaseException):
    """SIGTERM arrived: no method's fault, and nobody's to handle but the program's."""
