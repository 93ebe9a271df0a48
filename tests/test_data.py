"""tests/data/README.md says of every file which code computed it, and says what the file says."""

import re

import torch

from tests.conftest import DATA

ROW = re.compile(r'^\| (`.*?`) \| [^|]* \| ([^|]*) \| ([^|]*) \|', re.MULTILINE)


def test_the_provenance_of_every_file():
    told = {name: (commit, re.findall('`(.*?)`', paths)) for names, commit, paths in ROW.findall(
        (DATA / 'README.md').read_text()) for name in re.findall('`(.*?)`', names)}
    assert told.keys() == {path.stem for path in DATA.glob('*.pt')}
    for name, (commit, paths) in told.items():
        source = torch.load(DATA / f'{name}.pt', weights_only=True)['source']
        if commit == 'none':
            assert source.startswith('OWN CODE from the paper formulas (no official code exists)'), name
            continue
        assert re.fullmatch(r'\S+/\S+@[0-9a-f]{40}', commit), name
        assert commit in source, name
        assert all(path in source for path in paths), name
