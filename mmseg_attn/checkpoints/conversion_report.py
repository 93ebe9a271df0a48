"""Tells where the weights of a converted checkpoint went."""

from collections import Counter

from rich.console import Console
from rich.table import Column, Table

from .conversion import Conversion


def print_report(conversion: Conversion, console: Console) -> None:
    console.print(f'Recognised {conversion.source.method} of {conversion.source.description}.\n')
    table = Table(*(Column(name, overflow='fold') for name in ('mapped', 'to', 'tensors')))
    for (theirs, ours), number in Counter(_different_prefix(*pair) for pair in conversion.mapped).items():
        table.add_row(theirs, ours, str(number))
    console.print(table)
    if conversion.dropped:
        table = Table('dropped', 'why', 'number')
        for why, number in Counter(why for _, why in conversion.dropped).items():
            names = [name for name, reason in conversion.dropped if reason == why]
            table.add_row(', '.join(names[:2]) + (', ...' if number > 2 else ''), why, str(number))
        console.print(table)
    for note in conversion.notes:
        console.print(f'Note: {note}')


def _different_prefix(theirs: str, ours: str) -> tuple[str, str]:
    """Both without what their ends have in common."""
    theirs_parts, ours_parts = theirs.split('.'), ours.split('.')
    while theirs_parts and ours_parts and theirs_parts[-1] == ours_parts[-1]:
        theirs_parts.pop()
        ours_parts.pop()
    return '.'.join([*theirs_parts, '*']), '.'.join([*ours_parts, '*'])
