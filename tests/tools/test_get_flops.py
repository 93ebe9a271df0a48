"""tools/get_flops.py counts the model of a config."""


import pytest
from mmengine.config import Config

from mmseg_attn.common.errors import UserError
from tests.tools.command import CONFIGS, fails, run_here, succeeds, tool

SHAPES = CONFIGS / 'glore_r18_shapes.py'
CLASSES, CHANNELS = 5, 64


@pytest.fixture
def get_flops(capsys):
    """The tool in this process: arguments -> output."""
    def run(*arguments):
        run_here('get_flops', *arguments)
        return capsys.readouterr().out

    return run


def cells(out: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip('│').split('│')] for line in out.splitlines() if line.startswith('│')]
    return {line[0]: line[1:] for line in lines}


def test_a_table_of_the_parts(get_flops):
    out = get_flops(SHAPES, '--shape', 320, 640)
    assert 'Input shape: (320, 640)' in out
    found = cells(out)
    assert list(found) == ['backbone', 'decode_head', 'in_conv', 'attention', 'out_conv', 'conv_seg']
    assert found['attention'][0] == 'GlobalReasoning'
    pixels = 40 * 80
    assert found['in_conv'][2] == f'{128 * CHANNELS * 9 * pixels / 1e9:.2f} G'
    assert found['conv_seg'][2] == '0.001 G' == f'{CHANNELS * CLASSES * pixels / 1e9:.3f} G'
    numbers = {name: float(cell[2].removesuffix(' G')) for name, cell in found.items()}
    total = float(out.split('Flops: ')[1].split(' G')[0])
    assert numbers['backbone'] + numbers['decode_head'] == pytest.approx(total, abs=0.02)
    assert sum(list(numbers.values())[2:]) == pytest.approx(numbers['decode_head'], abs=0.05)
    assert out.split('Params: ')[1].startswith(
        f'{sum(float(found[name][1].removesuffix(" M")) for name in ("backbone", "decode_head")):.2f}')


@pytest.mark.parametrize(('method', 'lists'), [('apcnet', {'attention'}), ('carafe', {'lateral_convs', 'top_down'})])
def test_lists_of_modules_are_parts(get_flops, method, lists):
    found = cells(get_flops(CONFIGS / f'{method}_r18_shapes.py', '--shape', 320))
    assert lists <= set(found)
    shares = {name: float(cell[3].removesuffix(' %')) for name, cell in found.items()}
    assert shares['backbone'] + shares['decode_head'] == pytest.approx(100, abs=0.1)
    assert sum(list(shares.values())[2:]) == pytest.approx(shares['decode_head'], abs=0.3)


def test_a_square_is_one_number(get_flops):
    assert 'Input shape: (64, 64)' in get_flops(SHAPES, '--shape', 64)


def test_options_and_the_auxiliary_head(get_flops):
    width = 32
    out = get_flops(CONFIGS / 'emanet_r18_camvid.py', '--shape', 64,
                    '--cfg-options', f'model.decode_head.ema_channels={width}')
    assert 'auxiliary_head' not in cells(out)
    assert cells(out)['in_conv'][1] == f'{(512 * width * 9 + 2 * width) / 1e6:.2f} M'
    assert 'The auxiliary heads are left out.' in out


def test_sizes_that_the_preprocessor_pads(get_flops, tmp_path):
    config = Config.fromfile(SHAPES)
    config.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    config.dump(tmp_path / 'padded.py')
    out = get_flops(tmp_path / 'padded.py', '--shape', 60, 70)
    assert 'pads (60, 70) to (64, 96)' in out
    assert 'Input shape: (64, 96)' in out


def test_mmseg_head(get_flops):
    out = get_flops(CONFIGS / 'fcn_r18_shapes.py', '--shape', 160)
    assert cells(out)['decode_head'][0] == 'FCNHead'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['none.py'], 'there is no config file none.py'),
    ([CONFIGS / '_base_' / 'default.py'], r'default\.py has no model'),
    ([SHAPES, '--shape', 1, 2, 3], '--shape takes a height and a width'),
    ([SHAPES, '--shape', 0], 'got 0'),
    ([SHAPES, '--cfg-options', 'model.decode_head.type=mmseg_attn.GloreHead'], r'decode_head.type=.* is unknown'),
    ([SHAPES, '--cfg-options', 'model.decode_head.num_nodes=0'], 'the model cannot be built: .*num_nodes'),
    ([SHAPES, '--cfg-options', 'model.decode_head.in_channels=64', '--shape', 32],
     r'cannot be run on an image of 32 x 32')])
def test_wrong_arguments(get_flops, arguments, message):
    with pytest.raises(UserError, match=message):
        get_flops(*arguments)


@pytest.mark.slow
def test_as_a_command(tmp_path):
    assert 'Flops: ' in succeeds(tool('get_flops.py', CONFIGS / 'dgmn_r50_cityscapes.py', cwd=tmp_path))
    assert 'there is no config file' in fails(tool('get_flops.py', 'none.py', cwd=tmp_path))
