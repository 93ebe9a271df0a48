"""The console command: help, names, errors, configs."""

import subprocess
import sys

import pytest
from mmengine.config import Config

from mmseg_attn import __version__
from mmseg_attn.cli import COMMANDS, export, main, parse, parser_of
from mmseg_attn.cli.configs import copy_configs, matching
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import config_names, configs_folder
from mmseg_attn.export.files import FORMATS, TOLERANCE
from tests.tools.command import ROOT


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code, capsys.readouterr()


def test_help_lists_every_command_with_a_line(capsys):
    for arguments in ([], ['--help']):
        code, said = _run(capsys, *arguments)
        assert code in (None, 0)
        lines = [line.split(maxsplit=1) for line in said.out.splitlines() if line.startswith('  ')]
        assert [name for name, _ in lines] == list(COMMANDS)
        assert all(text.endswith('.') for _, text in lines)
    assert __version__ in _run(capsys, '--version')[1].out


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_help_and_a_script(name, capsys):
    for spelled in {name, name.replace('_', '-')}:
        code, said = _run(capsys, spelled, '--help')
        assert code == 0
        assert f'usage: mmseg-attn {name}' in said.out
    assert name == 'configs' or (ROOT / 'tools' / f'{name}.py').is_file()


def test_an_unknown_command_is_told_with_what_is_near(capsys):
    code, said = _run(capsys, 'trian')
    assert (code, said.err) == (2, "error: there is no command 'trian': did you mean train?\n")


@pytest.mark.parametrize('command', [name for name in COMMANDS if '--cfg-options' in parser_of(name).format_help()])
def test_a_bad_setting_is_one_message_in_every_command(command, capsys):
    code, said = _run(capsys, command, 'a', 'b', 'c', '--cfg-options', 'foo')
    assert code == 2
    assert said.err == "\nerror: --cfg-options takes KEY=VALUE, got 'foo'\n"


def test_python_m_is_the_same():
    result = subprocess.run([sys.executable, '-m', 'mmseg_attn', '--version'], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout == f'mmseg_attn {__version__}\n'


def test_what_the_help_says_of_export_is_so():
    assert tuple(FORMATS) == export.FORMATS
    assert TOLERANCE == export.TOLERANCE


def test_configs_are_listed_by_pattern():
    assert matching('*') == config_names()
    assert matching('emanet_r18_shapes.py') == ['emanet_r18_shapes.py']
    assert matching('configs/official/danet*') == ['official/danet_r101_cityscapes.py']
    assert len(matching('ccnet')) == len([name for name in config_names() if 'ccnet' in name])
    assert matching('nothing') == []


def test_configs_are_copied_with_their_bases(tmp_path):
    names = ['official/danet_r101_cityscapes.py', 'emanet_r18_shapes.py']
    copied = copy_configs(names, tmp_path)
    assert {tmp_path / name for name in names} < set(copied)
    for name in names:
        ours, theirs = (Config.fromfile(folder / name) for folder in (configs_folder(), tmp_path))
        assert ours.to_dict() == theirs.to_dict()
    copy_configs(names, tmp_path)
    copy_configs(names, configs_folder())  # onto themselves
    (tmp_path / 'emanet_r18_shapes.py').write_text('mine = 1')
    with pytest.raises(UserError, match=r'emanet_r18_shapes.py exists with another content'):
        copy_configs(names, tmp_path)


@pytest.mark.skipif(sys.platform == 'win32', reason='has no such pipes')
def test_a_reader_that_has_enough_is_no_error():
    command = f'{sys.executable} -m mmseg_attn configs | head -n 1'
    result = subprocess.run(['bash', '-c', command], capture_output=True, text=True, cwd=ROOT)
    assert (result.stdout.count('\n'), result.stderr) == (1, '')


def test_the_command_of_a_report_can_be_typed():
    assert parse('configs', ['a b*', '--copy', 'x']).command == "mmseg-attn configs 'a b*' --copy x"
