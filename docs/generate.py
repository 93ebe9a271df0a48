#!/usr/bin/env python
"""Writes what follows from configs/metafiles: the tables of the methods in README.md and docs/methods/README.md, and
model-index.yml. With --check nothing is written, and what is out of date is an error."""

import argparse
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BEGIN, END = '<!-- methods: begin, by docs/generate.py -->\n\n', '\n<!-- methods: end -->\n'
OVERVIEW = ('Order', 'Head', 'Block', 'Draws On', 'Weights By', 'Cost', 'Recipe')


def read_methods(folder: Path) -> list[dict]:
    """The methods in the order of the tables: what a metafile says of the collection, and its models by name."""
    methods = []
    for path in sorted(folder.glob('*.yml')):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        collection, = content['Collections']
        missing = [key for key in OVERVIEW if key not in collection.get('Overview', {})]
        if missing:
            raise SystemExit(f'error: {path}: the Overview of its collection lacks {", ".join(missing)}')
        methods.append(dict(collection['Overview'], stem=path.stem, name=collection['Name'],
                            models={model['Name']: model for model in content['Models']}))
    return sorted(methods, key=lambda method: (method['Order'], method['stem']))


def _accuracy(method: dict, config: str, dataset: str, digits: int) -> str:
    """The mIoU of ``<stem>_<config>`` with its remark; nothing where there is none."""
    for result in method['models'].get(f'{method["stem"]}_{config}', {}).get('Results', ()):
        if result['Dataset'] == dataset:
            remark = f' ({result["Remark"]})' if 'Remark' in result else ''
            return f'{result["Metrics"]["mIoU"]:.{digits}f}{remark}'
    return ''


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return ''.join('|' + ''.join(f' {cell} |' if cell else ' |' for cell in line) + '\n' for line in lines)


def readme_table(methods: list[dict]) -> str:
    header = ['method', 'head', 'block in `mmseg_attn.attention`', 'recipe of the configs',
              'measured here: ContextShapes', 'cited: Cityscapes, R101', 'cited: VOC 2012, R101']
    return _table(header, [[
        f'[{method["name"]}](docs/methods/{method["stem"]}.md)', f'`{method["Head"]}`', method['Block'],
        method['Recipe'], _accuracy(method, 'r18_shapes', 'ContextShapes', 1),
        _accuracy(method, 'r101_cityscapes', 'Cityscapes', 2), _accuracy(method, 'r101_voc', 'PASCAL VOC 2012', 2)]
        for method in methods])


def methods_table(methods: list[dict]) -> str:
    header = ['method', 'what a pixel draws on', 'who decides the weights', 'cost in N pixels']
    return _table(header, [[f'[{method["name"]}]({method["stem"]}.md)', method['Draws On'], method['Weights By'],
                            method['Cost']] for method in methods])


def model_index(methods: list[dict]) -> str:
    return 'Import:\n' + ''.join(f'- configs/metafiles/{stem}.yml\n'
                                 for stem in sorted(method['stem'] for method in methods))


def _between_marks(path: Path, table: str) -> str:
    before, _, rest = path.read_text(encoding='utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f'error: {path} has no lines {BEGIN.strip()} and {END.strip()}')
    return before + BEGIN + table + END + after


def generate(root: Path) -> dict[Path, str]:
    """Path -> content, of all files that follow from the metafiles of ``root``."""
    methods = read_methods(root / 'configs' / 'metafiles')
    readme, overview = root / 'README.md', root / 'docs' / 'methods' / 'README.md'
    return {readme: _between_marks(readme, readme_table(methods)),
            overview: _between_marks(overview, methods_table(methods)),
            root / 'model-index.yml': model_index(methods)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; fail if something is out of date')
    arguments = parser.parse_args()
    changed = {path: text for path, text in generate(ROOT).items()
               if not path.exists() or path.read_text(encoding='utf-8') != text}
    names = ', '.join(str(path.relative_to(ROOT)) for path in changed)
    if arguments.check and changed:
        sys.exit(f'error: out of date: {names}; run python docs/generate.py')
    for path, text in changed.items():
        path.write_text(text, encoding='utf-8')
    print(f'Written: {names}' if changed else 'All is up to date.')


if __name__ == '__main__':
    main()
