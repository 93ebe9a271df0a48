"""What was written, in a few lines."""

from .drawing import IGNORED
from .writing import SPLITS, Written


def lines_of(written: Written) -> list[str]:
    """Numbers of the images, and for each class its share of the pixels and the images that it occurs in."""
    parts = [[one for one in written.images if one.split == split] for split in SPLITS]
    totals = [sum(one.values for one in part) for part in parts]
    head = 'Images: ' + ', '.join(f'{split} {len(part):,}' for part, split in zip(parts, SPLITS, strict=True))
    rows = [*enumerate(written.classes)]
    if any(total[IGNORED] for total in totals):
        rows.append((IGNORED, '(ignored)'))
    width = max(len(name) for _, name in rows)
    lines = [head, f'  {"":>3}  {"class":{width}}  ' + '  '.join(f'{split:>7}  {"images":>7}' for split in SPLITS)]
    for number, name in rows:
        cells = [f'{total[number] / total.sum():7.2%}  {sum(one.values[number] > 0 for one in part):7,}'
                 for part, total in zip(parts, totals, strict=True)]
        lines.append(f'  {number:3}  {name:{width}}  ' + '  '.join(cells))
    return [*lines, *(f'Note: {note}' for note in written.notes)]
