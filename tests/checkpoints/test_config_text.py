import pytest
from mmengine.config import Config

from mmseg_attn.checkpoints.config_text import literals_of, text_of
from mmseg_attn.common.shipped import configs_folder

VALUES = {
    'tuples': (1, (), (2,), ((3, 4.5), None)), 'none': None, 'booleans': [True, False], 'nested': [[1, [2]], []],
    'empty': {}, 'mappings': [dict(a=1), [dict(b=(2,))]], 'numbers': [-1, 1e-10, 2.5e30],
    'keys': {'.b': 1, 'c d': dict(e=2), '0': [3]}, 'numbered': {1: 2}, 'quotes': 'it\'s "x"', 'lines': 'a\nb\\n\t',
    'umlaut': 'ü', 'long': 'a' * 300,
}


def _check(cfg: Config) -> None:
    text = text_of(cfg)
    assert Config.fromstring(text, file_format='.py').to_dict() == cfg.to_dict()
    assert literals_of(text) == cfg.to_dict()


@pytest.mark.parametrize('name', VALUES)
def test_comes_back(name):
    _check(Config(dict(value=VALUES[name], inner=dict(value=VALUES[name]))))


@pytest.mark.parametrize('step', [6, pytest.param(1, marks=pytest.mark.slow)])
def test_shipped_configs_come_back(step):
    for path in sorted(configs_folder().rglob('*.py'))[::step]:
        cfg = Config.fromfile(path, import_custom_modules=False)
        cfg.pop('custom_imports', None)  # of packages that need not be there
        _check(cfg)


def test_it_is_not_formatted(monkeypatch):
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda *_, **__: pytest.fail('formatted'))
    assert text_of(Config(dict(a=dict(b=1)))) == 'a=dict(\n    b=1)'


def test_only_literals_are_read():
    text = 'a = dict({".b": [1, -2.5]}, c=(None, {"d": True}))\ne = open("f")\ng = dict(h=i)\nj = a\nk: int = 3'
    assert literals_of(text) == dict(a={'.b': [1, -2.5], 'c': (None, {'d': True})})
    for broken in ('a = (', '\0', 'a = ' + '(' * 1000):
        assert literals_of(broken) == {}
