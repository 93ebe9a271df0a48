"""Every command in the documentation: covered by a rule, accepted by its program, run as it stands where it can be."""

import re
import shutil

import pytest
from packaging.requirements import Requirement

from mmseg_attn.cli import COMMANDS as COMMANDS_OF_OURS
from mmseg_attn.cli import parser_of
from tests.tools.command import ROOT

from .coverage import COMMANDS, PARSED, RUN, how_command
from .pages import Command, all_blocks, all_commands, commands
from .small import run, small_options

ALL = all_commands()
CONFIG, IMAGE = 'configs/emanet_r18_shapes.py', 'data/context_shapes/JPEGImages/val_0001.png'
# What a page names and everyone has under another name. Capitals that are not here stay as they are.
FILLED_IN = {'CONFIG': CONFIG, 'CHECKPOINT': 'CHECKPOINT.pth', 'IMAGE': IMAGE}
SCRIPT = {'dist_train.sh': 'train.py', 'dist_test.sh': 'test.py', 'slurm_train.sh': 'train.py',
          'slurm_test.sh': 'test.py'}
# What a tool says when it has done its work.
SAYS = {'train.py': 'Trained: logs and checkpoints are in', 'test.py': '\nmIoU ', 'get_flops.py': 'Flops',
        'check_data.py': 'Training is sensible', 'explore_attention.py': '.html: ',
        'explore_dataset.py': 'The report on 2 images'}
# To be done in seconds: less of what the command asks for.
LESS = {'explore_attention.py': ['--seconds', '0.1'], 'explore_dataset.py': ['--images', '2'],
        'benchmarks.operations': ['--size', '8x8', '--runs', '1'],
        'benchmarks/slide_memory.py': ['--classes', '2']}


def _tool(command: Command) -> str | None:
    """The program in tools/, where the command calls one, or mmseg-attn by the same name."""
    if command.words[0] == 'mmseg-attn':
        return f'{command.words[1]}.py' if command.words[1] in COMMANDS_OF_OURS else None
    script = next((word.removeprefix('tools/') for word in command.words[:2] if word.startswith('tools/')), None)
    return SCRIPT.get(script, script)


def _arguments(command: Command) -> list[str]:
    """What that program gets, without what the launch scripts take for themselves."""
    script, words = command.words[1].removeprefix('tools/'), [w for w in command.words[2:] if w != '...']
    if script.startswith('slurm'):
        return words[2:]
    number = {'dist_train.sh': 1, 'dist_test.sh': 2}.get(script)
    return words if number is None else words[:number] + words[number + 1:]


def test_commands_are_found():
    page = ('Say `python tools/a.py X|Y` or `--amp`.\n\n    python b.py voc | city      does it\n    no command\n\n'
            '```bash\nA=1 bash c.sh \\\n    "d e"  # f\ng && make h\n```\n```python\npython i.py\n```\n')
    assert [str(command) for command in commands('page.md', page)] == [
        "A=1 bash c.sh 'd e'", 'g', 'make h', 'python b.py voc', 'python b.py city', 'python tools/a.py X']


def test_an_unknown_command_is_not_covered():
    assert how_command(Command('page.md', (), ('python', 'tool.py'))) is None
    assert how_command(Command('page.md', (), ('curl', 'https://example.org'))) is None


def test_every_command_is_covered():
    assert len(ALL) > 80
    unknown = [f'{command.page}: {command}' for command in ALL if how_command(command) is None]
    assert not unknown, 'tests/docs/coverage.py says how a command is tried; it does not know\n' + '\n'.join(unknown)


def test_every_rule_is_needed():
    used = {next(i for i, (pattern, _) in enumerate(COMMANDS) if re.search(pattern, str(command))) for command in ALL}
    unused = {pattern for i, (pattern, _) in enumerate(COMMANDS) if i not in used}
    assert not unused


@pytest.mark.parametrize('node', sorted({how for _, how in COMMANDS} - {RUN, PARSED}))
def test_the_tests_that_are_named_exist(node):
    file, _, name = node.partition('::')
    assert (ROOT / file).is_file()
    assert not name or re.search(rf'^def {name}\(', (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize('command', [command for command in ALL if _tool(command)], ids=str)
def test_arguments_are_accepted(command):
    assert parser_of(_tool(command).removesuffix('.py')).parse_args(_arguments(command))


@pytest.mark.parametrize('command', ALL, ids=str)
def test_what_is_named_exists(command):
    shown = {block.file for block in all_blocks() if block.page == command.page}
    for word in command.words:
        if re.match(r'(\.ci|benchmarks|configs|docs|tests|tools)/', word):
            assert word in shown or (ROOT / word).exists(), word
    program, *words = command.words
    if program == 'make':
        targets = [word for word in words if '=' not in word]
        assert all(re.search(rf'^{target}:', (ROOT / 'Makefile').read_text(), re.MULTILINE) for target in targets)
    elif program == 'pip':
        _check_requirements(words)
    elif command.words[:2] == ('git', 'clone'):
        assert words[-1].startswith('https://github.com/')


def _check_requirements(words: list[str]) -> None:
    text = (ROOT / 'pyproject.toml').read_text()
    assert words[0] == 'install'
    values = {i + 1 for i, word in enumerate(words) if word == '--index-url'}
    for i, word in enumerate(words[1:], start=1):
        extras = re.fullmatch(r'\.\[(.*)\]', word)
        if extras:
            assert all(re.search(rf'^{extra} = \[', text, re.MULTILINE) for extra in extras[1].split(',')), word
        elif not word.startswith('-') and i not in values:
            assert Requirement(word)


def _unique(commands_: list[Command]) -> list[Command]:
    """Of commands of the tools that differ only in a shipped config, the name of a checkpoint or numbers, the first.

    That all configs build and all arguments are accepted has its own tests; a run takes ten seconds and more.
    """
    seen = {}
    for command in commands_:
        words = command.words
        if _tool(command):
            words = [re.sub(r'^(configs/.*|CONFIG|CHECKPOINT|.*\.pth|\d+)$', '', w) for w in words if w != '...']
        seen.setdefault(tuple(words), command)
    return list(seen.values())


def test_commands_that_differ_in_a_config_and_in_numbers_are_run_once():
    page = ('`python tools/train.py configs/emanet_r18_shapes.py` `python tools/train.py CONFIG` '
            '`python tools/train.py street.py` `python tools/train.py CONFIG --resume` '
            '`bash tools/dist_train.sh configs/a.py 2` `CUDA_VISIBLE_DEVICES=2,3 bash tools/dist_train.sh CONFIG 4`')
    found = [command.words[1:] for command in _unique(commands('page.md', page))]
    assert found == [('tools/train.py', 'configs/emanet_r18_shapes.py'), ('tools/train.py', 'street.py'),
                     ('tools/train.py', 'CONFIG', '--resume'), ('tools/dist_train.sh', 'configs/a.py', '2')]


@pytest.mark.slow
@pytest.mark.parametrize('command', _unique([c for c in ALL if how_command(c) == RUN]), ids=str)
def test_runs(command, repository, trained):
    folder, tool = repository(command.page), _tool(command)
    words = [FILLED_IN.get(word, word) for word in command.words if word != '...']
    if tool == 'export.py':
        pytest.importorskip('onnxscript')
    for i, word in enumerate(words):
        if word.endswith('.pth'):
            config = next(w for w in reversed(words[2:i]) if w.endswith('.py'))
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(trained(command.page, config) / 'iter_2.pth', folder / word)
    if words[1].startswith('tools/dist'):
        number = next(i for i, word in enumerate(words) if word.isdigit())
        words[number] = str(min(int(words[number]), 2))
    words += LESS.get(tool) or next((less for name, less in LESS.items() if name in words), [])
    if tool not in (None, 'check_data.py', 'get_flops.py'):
        config = next(word for word in words[2:] if word.endswith('.py'))
        if '--cfg-options' not in words:
            words.append('--cfg-options')
        at = words.index('--cfg-options') + 1
        words[at:at] = small_options(folder / config)
    output = run(words, folder, **dict(command.environment))
    assert SAYS.get(tool, '') in output
