"""One error family. Library code raises; only the command line catches and shows.

Every message names the thing in backticks and says what to do next.
"""

from __future__ import annotations


class MagidError(Exception):
    """Something a person can act on. `cause` is the short word that journals and filters use."""

    cause = "error"


class UsageError(MagidError):
    """The command, its settings or its input as a whole cannot be used (exit code 2)."""

    cause = "usage"


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""

    cause = "settings"


class InputError(UsageError):
    """The input as a whole cannot be read."""

    cause = "input"


class RunStopped(MagidError):
    """A fault that every further item would meet too: the run stops, unfinished items stay pending."""

    cause = "stopped"


class ModelUnavailable(RunStopped):
    """A model cannot be opened, or its server refuses us or does not know it."""

    cause = "model_unavailable"


class ServerUnreachable(RunStopped):
    """The language model's server does not answer."""

    cause = "server_unreachable"


class StorageFailed(RunStopped):
    """The run directory cannot be written."""

    cause = "storage"


class MissingExtra(ModelUnavailable):
    """An optional package is needed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs `pip install 'magid-graph[{extra}]'`")


class WeightsDamaged(ModelUnavailable):
    """A file that ships with the package is not the file that was shipped."""

    cause = "weights_damaged"


class ItemError(MagidError):
    """A fault of one item: it becomes `failed` with this cause, the others go on."""

    cause = "fault"


class BadItem(ItemError):
    """One row of the input cannot be used."""

    cause = "bad_input"


class UnreadableReply(ItemError):
    """The language model's reply does not follow the protocol, and did not when asked again."""

    cause = "unreadable_reply"


class ServerFailed(ItemError):
    """The server answered this call with an error, also when asked again."""

    cause = "server_error"


class BlankPicture(ItemError):
    """The text-to-image model returned blank, constant or not-a-number pictures every time."""

    cause = "blank_picture"


class BlankCaption(ItemError):
    """The captioner said nothing about a picture."""

    cause = "blank_caption"


class TooFewDescriptions(ItemError):
    """The describer did not find as many different first descriptions as were wanted."""

    cause = "too_few_descriptions"


class NoProgress(RunStopped):
    """Batch after batch brings no pair that is accepted."""

    cause = "no_progress"


class OutOfMemory(ItemError):
    """One single item does not fit the device's memory."""

    cause = "out_of_memory"


class DamagedPicture(ItemError):
    """A picture file is missing, or is not the file that was written."""

    cause = "damaged_picture"


class ReplyFault(ItemError):
    """A reply breaks the reply protocol. The message is shown to the language model when it is asked again."""

    cause = "unreadable_reply"
