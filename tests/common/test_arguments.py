"""Options that commands share."""

import argparse

import pytest

from mmseg_attn.common.arguments import add_cfg_options, check_at_least, check_device
from mmseg_attn.common.errors import UserError


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    return lambda *words: parser.parse_args(['--cfg-options', *words]).cfg_options


def test_settings_are_read_as_mmengine_does(parse):
    assert parse('a.b=1', 'c=[(1,2),(3,4)]', 'd=x=y', 'e=None') == {
        'a.b': 1, 'c': [(1, 2), (3, 4)], 'd': 'x=y', 'e': None}


@pytest.mark.parametrize(('words', 'message'), [
    (['foo'], "--cfg-options takes KEY=VALUE, got 'foo'"), (['a=1', '=2'], "--cfg-options takes KEY=VALUE, got '=2'"),
    (['a=[(1,2'], 'the value cannot be read')])
def test_what_is_no_setting_is_named(parse, words, message):
    with pytest.raises(UserError, match=message):
        parse(*words)


@pytest.mark.parametrize('name', ['cuda:99', 'no such device', 'meta:x'])
def test_a_device_that_does_not_work_is_named(name):
    with pytest.raises(UserError, match=f'--device {name} does not work here: '):
        check_device(name)
    assert check_device('cpu') == 'cpu'


def test_numbers_that_are_too_small():
    check_at_least(1, nproc=None, runs=1)
    with pytest.raises(UserError, match='--in-channels must be at least 1, got 0'):
        check_at_least(1, in_channels=0)
