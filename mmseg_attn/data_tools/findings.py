"""What a check finds, ready to be shown."""

from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    ERROR = 'error'
    WARNING = 'warning'


@dataclass(frozen=True)
class Finding:
    """
    Attributes:
        level: with an error, training is not sensible.
        title: what was found, one line.
        files: whom it concerns, each with what was found there.
        advice: what to do, one line.
    """
    level: Level
    title: str
    files: list[str] = field(default_factory=list)
    advice: str = ''


def count(files: list, what: str) -> str:
    """``3 images``, ``1 image``."""
    return f'{len(files):,} {what}{"s" * (len(files) != 1)}'
