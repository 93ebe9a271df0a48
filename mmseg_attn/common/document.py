"""A report of headings, paragraphs, tables and pictures, as Markdown and as one self-contained HTML page."""

import base64
import html
from dataclasses import dataclass
from pathlib import Path

STYLE = '''
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
td.text { text-align: left; white-space: normal; min-width: 16rem; }
img { max-width: 100%; }
'''


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Table:
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG beside the report."""

    path: Path
    alt: str


Block = Heading | Paragraph | Table | Picture


def to_markdown(title: str, blocks: list[Block]) -> str:
    return '\n\n'.join([f'# {title}', *(_markdown(block) for block in blocks)]) + '\n'


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f'## {text}'
        case Paragraph(text):
            return text
        case Table(header, rows):
            lines = [header, ['---'] * len(header), *([cell.replace('|', '\\|') for cell in row] for row in rows)]
            return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
        case Picture(path, alt):
            return f'![{alt}]({path.name})'


def to_html(title: str, blocks: list[Block]) -> str:
    body = '\n'.join(_html(block) for block in blocks)
    return ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
            f'<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n')


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f'<h2>{html.escape(text)}</h2>'
        case Paragraph(text):
            return f'<p>{html.escape(text)}</p>'
        case Table(header, rows):
            head = ''.join(f'<th>{html.escape(cell)}</th>' for cell in header)
            lines = ''.join(f'<tr>{"".join(_cell(cell) for cell in row)}</tr>\n' for row in rows)
            return (f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody></table>'
                    '</div>')
        case Picture(path, alt):
            data = base64.b64encode(path.read_bytes()).decode()
            return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


def _cell(text: str) -> str:
    """Lists of names read from the left and may be broken, numbers not."""
    kind = ' class="text"' if ', ' in text else ''
    return f'<td{kind}>{html.escape(text)}</td>'
