"""docs/adding_a_method.md followed to the letter: what it takes, and that nothing has missed the method."""

import re
from pathlib import Path

import pytest

from tests.tools.command import ROOT

from .pages import WRITTEN, blocks, pages
from .small import run, write_repository

PAGE = 'docs/adding_a_method.md'
EDITED = {'mmseg_attn/attention/__init__.py', 'mmseg_attn/models/heads/__init__.py'}
GENERATED = {'README.md', 'docs/methods/README.md', 'model-index.yml'}
BATTERIES = ('tests/attention/test_contract.py', 'tests/attention/test_properties.py',
             'tests/models/heads/test_heads.py', 'tests/export/test_files.py')


@pytest.fixture(scope='module')
def followed(tmp_path_factory, small_data) -> Path:
    folder = tmp_path_factory.mktemp('followed')
    write_repository(folder, PAGE, small_data)
    (folder / 'emanet.py').unlink()  # dumped by mmengine, which is no style of ours
    run(['ruff', 'check', '--fix', '.'], folder)
    assert 'Written: ' in run(['python', 'docs/generate.py'], folder)
    return folder


def test_nine_files_of_its_own_and_two_that_are_edited():
    files = {block.file for block in blocks(PAGE, pages()[PAGE], WRITTEN) if block.file}
    own = {file for file in files if not (ROOT / file).exists()}
    assert len(own) == 9
    assert all(Path(file).stem.startswith(('global_context', 'test_global_context')) for file in own)
    assert files - own == EDITED


def _texts(folder: Path) -> dict[str, str]:
    found = (path.relative_to(folder).as_posix() for part in ('configs', 'docs', 'mmseg_attn', 'tests', '.')
             for path in (folder.glob('*') if part == '.' else (folder / part).rglob('*'))
             if path.suffix in ('.py', '.md', '.yml', '.toml'))
    return {name: (folder / name).read_text(encoding='utf-8') for name in found}


@pytest.mark.slow
def test_what_it_takes(followed):
    before, after = _texts(ROOT), _texts(followed)
    own = {block.file for block in blocks(PAGE, pages()[PAGE], WRITTEN) if block.file} - EDITED
    assert after.keys() - before.keys() == own
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == EDITED | GENERATED
    assert 'All is up to date' in run(['python', 'docs/generate.py', '--check'], followed)
    for name in EDITED | GENERATED:
        old, new = before[name].splitlines(), after[name].splitlines()
        assert [line for line in new if 'global_context' not in line and 'GlobalContext' not in line] == old, name
    run(['pytest', 'tests/configs/test_metafiles.py', 'tests/benchmark/test_cases.py'], followed)
    run(['pytest', 'tests/docs/test_links.py', '-k', 'global_context'], followed)


@pytest.mark.slow
def test_the_batteries_take_block_and_head(followed):
    """In each of their tests in which GloRe is, too."""
    output = run(['pytest', '--collect-only', *BATTERIES], followed)

    def tests_of(name: str) -> set[str]:
        return set(re.findall(rf'^(.*)\[(?:.*-)?{name}\b', output, re.MULTILINE))

    for new, like in (('global_context', 'glore'), ('GlobalContextHead', 'GloReHead')):
        assert tests_of(new) == tests_of(like)
    assert {test.split('::')[0] for test in tests_of('(?:global_context|GlobalContextHead)')} == set(BATTERIES)
