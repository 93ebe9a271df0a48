"""What mim reads: model-index.yml and configs/metafiles; and what docs/generate.py writes of them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmseg_attn import attention
from mmseg_attn.benchmark.settings import method_names

ROOT = Path(__file__).parents[2]
METAFILES = sorted(ROOT.glob('configs/metafiles/*.yml'))
# mmseg's own heads.
BASELINES = [f'configs/{method}_{data}.py' for method in ('fcn', 'pspnet') for data in ('r18_shapes', 'mbv2_camvid')]
CONTENT = {path.stem: yaml.safe_load(path.read_text(encoding='utf-8')) for path in METAFILES}
MODELS = [model for content in CONTENT.values() for model in content['Models']]
GENERATED = ('README.md', 'docs/methods/README.md', 'model-index.yml')


def test_every_config_of_ours_is_listed_once():
    listed = sorted(model['Config'] for model in MODELS)
    configs = sorted(f'configs/{path.name}' for path in ROOT.glob('configs/*.py'))
    assert listed == [config for config in configs if config not in BASELINES]
    assert all(model['Name'] == Path(model['Config']).stem for model in MODELS)


def test_collections_point_to_their_page():
    for stem, content in CONTENT.items():
        collection, = content['Collections']
        assert collection['README'] == f'docs/methods/{stem}.md'
        assert (ROOT / collection['README']).is_file()
        assert {model['In Collection'] for model in content['Models']} == {collection['Name']}


@pytest.mark.parametrize('stem', CONTENT)
def test_overviews_name_what_there_is(stem):
    overview = CONTENT[stem]['Collections'][0]['Overview']
    head = Config.fromfile(ROOT / 'configs' / f'{stem}_r18_shapes.py').model.decode_head
    assert head.type == f'mmseg_attn.{overview["Head"]}'
    if 'mmseg_attn.' not in overview['Block']:
        assert set(re.findall('`(.*?)`', overview['Block'])) == {
            name for name in attention.__all__ if getattr(attention, name).__module__.endswith(f'.{stem}')}


def test_places_in_the_tables_are_taken_once():
    places = [content['Collections'][0]['Overview']['Order'] for content in CONTENT.values()]
    assert len(set(places)) == len(places)


def test_no_cited_number_looks_like_ours():
    results = [result for model in MODELS for result in model.get('Results', ())]
    assert {'Cited', 'Measured'} <= {key for result in results for key in result}
    for result in results:
        assert ('Cited' in result) != ('Measured' in result)
        if 'Cited' in result:
            assert result['Cited'].startswith('not trained here; ')
        else:
            assert re.search(r', at [0-9a-f]{7,}, .*; .*torch \d', result['Measured'])


def test_measured_numbers_are_those_of_the_page():
    page = (ROOT / 'docs' / 'methods' / 'README.md').read_text(encoding='utf-8')
    # Each table is followed by the commit that it was measured at.
    parts = re.split(r'^Commit (\w+), ', page, flags=re.MULTILINE)
    assert len(parts) == 5
    for text, commit in zip(parts[::2], parts[1::2], strict=False):
        rows = dict(re.findall(r'^\| (\w+) \| (\d+\.\d) \| \d+ \| ', text, re.MULTILINE))
        measured = {model['Name'].removesuffix('_r18_shapes'): f'{result["Metrics"]["mIoU"]:.1f}' for model in MODELS
                    for result in model.get('Results', ()) if f', at {commit}, ' in result.get('Measured', '')}
        assert measured == {stem: number for stem, number in rows.items() if stem != 'fcn'}


def test_names_are_in_the_order_of_the_tables():
    titles = re.findall(r'^\| \[(.*?)\]\(docs/methods/(\w+)\.md\)', (ROOT / 'README.md').read_text(), re.MULTILINE)
    assert [(name, stem) for stem, name in method_names().items()] == titles


def _generate(root, *arguments):
    return subprocess.run([sys.executable, str(root / 'docs' / 'generate.py'), *arguments], capture_output=True,
                          text=True)


def test_what_is_generated_is_up_to_date():
    result = _generate(ROOT, '--check')
    assert result.returncode == 0, result.stderr


@pytest.fixture
def copy(tmp_path):
    for name in (*GENERATED, 'docs/generate.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / 'configs' / 'metafiles', tmp_path / 'configs' / 'metafiles')
    return tmp_path


def test_what_is_out_of_date_is_named_and_written(copy):
    metafile = copy / 'configs' / 'metafiles' / 'emanet.yml'
    metafile.write_text(metafile.read_text().replace('Name: EMANet', 'Name: EMA-Net').replace('Order: 90', 'Order: 5'))
    (copy / 'configs' / 'metafiles' / 'glore.yml').unlink()
    before = {name: (copy / name).read_text() for name in GENERATED}
    result = _generate(copy, '--check')
    assert result.returncode == 1
    assert result.stderr == f'error: out of date: {", ".join(GENERATED)}; run python docs/generate.py\n'
    assert before == {name: (copy / name).read_text() for name in GENERATED}
    assert _generate(copy).stdout == f'Written: {", ".join(GENERATED)}\n'
    assert _generate(copy, '--check').stdout == 'All is up to date.\n'
    readme, page, index = ((copy / name).read_text() for name in GENERATED)
    rows = [line for line in readme.splitlines() if '(docs/methods/' in line and line.startswith('| [')]
    assert rows[0].startswith('| [EMA-Net](docs/methods/emanet.md) | `EMAHead` | ')
    assert len(rows) == len(METAFILES) - 1
    assert '(glore.md)' not in page
    assert 'glore' not in index
    assert readme.split('## The methods')[0] == before['README.md'].split('## The methods')[0]
    assert readme.split('**Measured here**')[1] == before['README.md'].split('**Measured here**')[1]


def test_what_an_overview_lacks_is_told(copy):
    metafile = copy / 'configs' / 'metafiles' / 'ccnet.yml'
    metafile.write_text(re.sub(r' +(Cost|Recipe): .*\n', '', metafile.read_text()))
    result = _generate(copy)
    assert result.returncode == 1
    assert 'ccnet.yml: the Overview of its collection lacks Cost, Recipe' in result.stderr
