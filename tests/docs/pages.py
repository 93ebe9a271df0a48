"""What the documentation consists of: its pages, and the commands, the Python and the links in them."""

import re
import shlex
from dataclasses import dataclass

from tests.tools.command import ROOT

PROGRAMS = ('bash', 'git', 'make', 'mim', 'mmseg-attn', 'pip', 'pre-commit', 'pytest', 'python', 'python3', 'ruff',
            'sh', 'source', 'tensorboard', 'torchrun')
FENCE = re.compile(r'^ *```(\w*)\n(.*?)^ *```', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(rf'(?:[A-Z_]+=\S+ )*(?:{"|".join(PROGRAMS)}) \S')
ASSIGNMENT = re.compile(r'[A-Z_][A-Z_0-9]*=')
PYTHON = ('python', 'py')
WRITTEN = (*PYTHON, 'yaml', 'markdown')
# The first line of a block that is a file, or that goes into one: `# street.py`, `# a/b.py, before C`, `<!-- d.md -->`.
PLACE = re.compile(r'(?:# |<!-- )(\S+\.(?:py|yml|md))(?:, (before \w+|in \w+))?(?: -->)?\n')


@dataclass(frozen=True)
class Command:
    """One command of a page, without its comment.

    Attributes:
        page: path of the page in the repository.
        environment: what is assigned before the program.
        words: program and arguments.
    """
    page: str
    environment: tuple[tuple[str, str], ...]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join([*(f'{name}={value}' for name, value in self.environment), *self.words])


@dataclass(frozen=True)
class Block:
    """A block of code of a page; ``number`` counts from 0.

    ``file`` is the one it belongs to, or None, and ``where`` its place in a file that exists.
    """
    page: str
    number: int
    code: str
    file: str | None
    where: str | None

    def __str__(self) -> str:
        return f'{self.page}-{self.number}' + (f'-{self.file}' if self.file else '')


def pages() -> dict[str, str]:
    """Path in the repository -> text."""
    files = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md')),
             *sorted((ROOT / 'benchmarks').rglob('*.md'))]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding='utf-8') for file in files}


def commands(page: str, text: str) -> list[Command]:
    """All commands: in fences of bash, in indented lines, and in single backticks."""
    prose = FENCE.sub('', text)
    lines = [line for language, code in FENCE.findall(text) if language in ('bash', 'sh', 'shell', 'console')
             for line in _joined(code).splitlines()]
    # Behind an indented command, an explanation may stand at some distance.
    lines += [re.split(r'\s{3,}', line.strip())[0] for line in _joined(prose).splitlines()
              if line.startswith('    ') and COMMAND.match(line.strip())]
    lines += [code for code in re.findall(r'(?<!`)`([^`\n]+)`(?!`)', prose) if COMMAND.match(code)]
    return [command for line in lines for command in _parse(page, line)]


def _joined(text: str) -> str:
    return re.sub(r'\\\n\s*', ' ', text)


def _parse(page: str, line: str) -> list[Command]:
    line = re.sub(r'([A-Z]+)(\|[A-Z]+)+', r'\1', line.replace('<method>', 'emanet'))
    lexer = shlex.shlex(line, posix=True, punctuation_chars='|&;')
    lexer.whitespace_split = True
    parts, separator = [[]], None
    for word in lexer:
        if word in ('|', '&&', ';'):
            separator = word
            parts.append([])
        else:
            parts[-1].append(word)
    if separator == '|' and all(len(part) == 1 for part in parts[1:]):
        parts[1:] = [[*parts[0][:-1], *part] for part in parts[1:]]  # `voc | cityscapes` are alternatives
    return [_command(page, words) for words in parts if words]


def _command(page: str, words: list[str]) -> Command:
    count = next((i for i, word in enumerate(words) if not ASSIGNMENT.match(word)), len(words))
    environment = tuple(tuple(word.split('=', 1)) for word in words[:count])
    return Command(page, environment, tuple(words[count:]))


def blocks(page: str, text: str, languages: tuple[str, ...] = PYTHON) -> list[Block]:
    """The fences of Python, or of other languages."""
    codes = [code for language, code in FENCE.findall(text) if language in languages]
    places = [PLACE.match(code) for code in codes]
    return [Block(page, i, code, *(place.groups() if place else (None, None)))
            for i, (code, place) in enumerate(zip(codes, places, strict=True))]


def links(text: str) -> list[str]:
    """Targets of the links and pictures that lie in the repository."""
    targets = re.findall(r'\]\(([^)\s]+)\)', FENCE.sub('', text))
    return [target for target in targets if not target.startswith(('http://', 'https://', 'mailto:'))]


def anchors(text: str) -> set[str]:
    """The names by which headings are linked to."""
    titles = re.findall(r'^#+ (.*)$', FENCE.sub('', text), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


def all_commands() -> list[Command]:
    return list(dict.fromkeys(command for page, text in pages().items() for command in commands(page, text)))


def all_blocks() -> list[Block]:
    return [block for page, text in pages().items() for block in blocks(page, text)]
