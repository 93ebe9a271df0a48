"""What mim reads: model-index.yml and configs/metafiles."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
METAFILES = [ROOT / path for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']]
BASELINES = ('configs/fcn_r18_shapes.py', 'configs/pspnet_r18_shapes.py')  # mmseg's own heads
MODELS = [model for path in METAFILES for model in yaml.safe_load(path.read_text())['Models']]


def test_every_config_of_ours_is_listed_once():
    listed = sorted(model['Config'] for model in MODELS)
    configs = sorted(f'configs/{path.name}' for path in ROOT.glob('configs/*.py'))
    assert listed == [config for config in configs if config not in BASELINES]
    assert all(model['Name'] == Path(model['Config']).stem for model in MODELS)


def test_collections_point_to_their_page():
    for path in METAFILES:
        collection, = yaml.safe_load(path.read_text())['Collections']
        assert collection['README'] == f'docs/methods/{path.stem}.md'
        assert (ROOT / collection['README']).is_file()
        assert {model['In Collection'] for model in yaml.safe_load(path.read_text())['Models']} == {collection['Name']}


def test_no_cited_number_looks_like_ours():
    results = [result for model in MODELS for result in model.get('Results', ())]
    assert results
    for result in results:
        assert result['Cited'].startswith('not trained here; ')
