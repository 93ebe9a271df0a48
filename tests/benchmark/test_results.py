"""Accuracies from a file."""

from pathlib import Path

import pytest

from mmseg_attn.benchmark.results import read_accuracies
from mmseg_attn.common.errors import UserError

TABLE = '''# Heads

| method | cost |
| --- | --- |
| ccnet | N |

| head | mIoU | iterations |
| --- | --- | --- |
| ccnet | 78.5 | 400 |
| glore | 7.0 | 400 |

| method | mIoU |
| --- | --- |
| danet | 1 |
'''


@pytest.mark.parametrize(('name', 'text'), [
    ('a.json', '{"ccnet": 78.5, "glore": {"mIoU": 7, "iters": 400}}'), ('a.csv', 'method,mIoU\nccnet,78.5\nglore,7\n'),
    ('b.csv', 'mIoU, iters, head\n78.5, 3, ccnet\n\n7, 3, glore\n'), ('a.md', TABLE)])
def test_forms(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_accuracies(tmp_path / name) == dict(ccnet=78.5, glore=7.0)


def test_the_table_of_the_documentation():
    found = read_accuracies(Path(__file__).parents[2] / 'docs' / 'methods' / 'README.md')
    assert len(found) == 13
    assert found['ccnet'] > found['fcn']


@pytest.mark.parametrize(('name', 'text', 'message'), [
    ('a.json', '{"ccnet": "good"}', 'has no accuracies of methods'), ('a.json', '[3]', 'has no accuracies'),
    ('a.json', '{', 'has no accuracies'), ('a.json', '{}', 'got none'), ('a.json', '{"ccnet": {"IoU": 3}}', 'mIoU'),
    ('a.csv', 'a,b\n1,2\n', 'its columns are a, b'), ('a.csv', '', 'its columns are'),
    ('a.md', 'text', 'no such table'), ('a.csv', 'method,mIoU\nccnet,785\n', 'between 0 and 100'),
    ('a.csv', 'method,mIoU\nccnet\n', 'has no accuracies'),
    ('a.json', '{"ccnet": 0.785, "glore": 0.7}', 'wanted in per cent'),
    ('a.txt', 'ccnet 3', 'reads .json, .csv, .md')])
def test_other_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_accuracies(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match='cannot read'):
        read_accuracies(tmp_path / 'a.json')
