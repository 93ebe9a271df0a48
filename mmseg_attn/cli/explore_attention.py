"""Writes a page for each image, on which pointing at a pixel shows where its output looks.

    mmseg-attn explore_attention CONFIG CHECKPOINT IMAGE ... --out pages
    mmseg-attn explore_attention CONFIG CHECKPOINT CONFIG CHECKPOINT IMAGE ... --out pages    heads side by side
    mmseg-attn explore_attention CONFIG CHECKPOINT IMAGE --out pages --points 120,80 300,200  a figure as well
    mmseg-attn explore_attention CONFIG CHECKPOINT IMAGE --out pages --block backbone.layer3.5.non_local
    mmseg-attn explore_attention CONFIG CHECKPOINT IMAGE --out pages --cam Car --region 100,50,200,150

The pages open from disk in any browser. docs/seeing_attention.md tells what the maps mean.
"""

import argparse
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from mmseg_attn.common.arguments import add_bands, add_cfg_options, add_device, check_bands, check_device
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import shipped_config

Pair = tuple[str, str]
ORDER = 'first come pairs of CONFIG and CHECKPOINT, then the images'
CONFIG_SUFFIXES = '.py', '.yaml', '.yml', '.json'


def numbers(count: int, form: str) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        try:
            values = tuple(int(part) for part in text.split(','))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(f'{text!r} is not {form}, in pixels of the image')
        return values
    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('files', nargs='+', metavar='FILE',
                        help='one or more pairs of a config (file, or name of a shipped one) and its checkpoint, then '
                        'one or more images')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for what is written')
    parser.add_argument('--names', nargs='+', metavar='NAME',
                        help="of the pairs, for titles; by default the configs', or those of their folders")
    parser.add_argument('--points', nargs='+', type=numbers(2, 'x,y'), metavar='x,y',
                        help='also write a PNG figure: a row for each of these pixels, a column for each pair')
    parser.add_argument('--block', nargs='+', metavar='NAME', default=[''],
                        help='show the attention of this block of the model instead of that of the head, for example '
                        'backbone.layer3.5.non_local: one name for all pairs, or one for each')
    parser.add_argument('--influence', action='store_true',
                        help='show the exact influence for all heads, not only for those without an attention map')
    parser.add_argument('--activation', nargs='?', type=float, const=0.7, metavar='THRESHOLD',
                        help='also draw where the features are strongest, and the box of the largest region above a '
                        'share of the range of values (default: 0.7)')
    parser.add_argument('--cam', metavar='CLASS', help='also show Grad-CAM of this class, by name or number')
    parser.add_argument('--region', type=numbers(4, 'left,top,right,bottom'), metavar='x0,y0,x1,y1',
                        help='where --cam looks at the class; everywhere it is predicted, if not given')
    parser.add_argument('--seconds', type=float, default=10,
                        help='for computing the maps of a page: more seconds, more pixels (default: 10)')
    add_bands(parser)
    add_device(parser)
    add_cfg_options(parser, 'all the configs')


def split_files(files: list[str]) -> tuple[list[Pair], list[str]]:
    """Pairs of a config and its checkpoint, and the images after them."""
    pairs = []
    while files and _is_config(files[0]):
        if len(files) == 1:
            raise UserError(f'{files[0]} has no checkpoint after it: {ORDER}')
        pairs.append(tuple(files[:2]))
        files = files[2:]
    if not pairs:
        raise UserError(f'{files[0]} is not a config: {ORDER}')
    if not files:
        raise UserError(f'there is no image after {" ".join(pairs[-1])}: {ORDER}')
    return pairs, files


def _is_config(name: str) -> bool:
    return Path(name).suffix in CONFIG_SUFFIXES or shipped_config(name) is not None


def check_arguments(args: argparse.Namespace, pairs: list[Pair], images: list[str]) -> None:
    """Finds what is wrong before anything is computed."""
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.config_checks import check_config
    from mmseg_attn.common.files import require_writable
    from mmseg_attn.common.pictures import PictureReader, naming
    from mmseg_attn.explain.grad_cam import check_region, require_grad_cam
    from mmseg_attn.explain.maps import check_points
    readers = []
    for config, checkpoint in pairs:
        cfg = load_config(config, args.cfg_options)
        check_config(cfg)
        readers.append(PictureReader(cfg))
        if not Path(checkpoint).is_file():
            raise UserError(f'there is no checkpoint {checkpoint}')
    if len(args.block) not in (1, len(pairs)):
        raise UserError(f'--block has {len(args.block)} names for {len(pairs)} pairs of config and checkpoint')
    if args.block != [''] and args.influence:
        raise UserError('--block shows the attention of a block, --influence what no block has: give one of the two')
    if args.activation is not None and not 0 <= args.activation < 1:
        raise UserError(f'--activation must be from 0 to less than 1, got {args.activation:g}')
    if args.names and len(args.names) != len(pairs):
        raise UserError(f'--names has {len(args.names)} names for {len(pairs)} pairs of config and checkpoint')
    if args.region and args.cam is None:
        raise UserError('--region says where --cam CLASS looks; give --cam as well')
    if args.cam is not None:
        require_grad_cam()
    if not args.seconds > 0:
        raise UserError(f'--seconds must be more than 0, got {args.seconds:g}')
    args.device, args.bands = check_device(args.device), check_bands(args.bands)
    for image in images:
        pictures = [reader.load(image) for reader in readers]
        with naming(image):
            for reader, picture in zip(readers, pictures, strict=True):
                reader.prepare(picture)
        size = pictures[0].pixels.shape[:2]
        try:
            check_points(args.points or [(0, 0)], size)
            check_region(args.region, size)
        except ValueError as error:
            raise UserError(f'{image}: {error}') from error
    require_writable(args.out)


def names_of(pairs: list[Pair]) -> list[str]:
    """What tells the pairs apart: the configs' names; or these and the checkpoints'; or the folders of these."""
    configs = [Path(config).stem for config, _ in pairs]
    checkpoints = [Path(checkpoint).absolute().with_suffix('') for _, checkpoint in pairs]
    for names in (configs, [f'{config} {path.name}' for config, path in zip(configs, checkpoints, strict=True)],
                  differing_folders(checkpoints)):
        if len(set(names)) == len(names):
            return names
    return [f'{config} {i}' for i, config in enumerate(configs, start=1)]


def differing_folders(paths: list[Path]) -> list[str]:
    """Paths without the folders with which all begin, and without the names with which all end."""
    def shared(parts: list[tuple[str, ...]]) -> int:
        return len(list(takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))))
    first = shared([path.parts for path in paths])
    last = shared([path.parts[:first - 1:-1] for path in paths])
    return ['/'.join(path.parts[first:len(path.parts) - last] or path.parts[-1:]) for path in paths]


def class_of(name: str, classes: list[str], model_name: str) -> int:
    """The number of a class given by name or number."""
    names = [known.lower() for known in classes]
    if name.lower() in names:
        return names.index(name.lower())
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise UserError(f'--cam {name} is no class of {model_name}, which has {", ".join(classes)}')


def stems_of(images: list[str]) -> list[str]:
    """A name for each image, with a number where two are called the same."""
    stems = [Path(image).stem for image in images]
    return [stem if stems.count(stem) == 1 else f'{stem}-{stems[:i + 1].count(stem)}' for i, stem in enumerate(stems)]


def main(args: argparse.Namespace) -> None:
    from rich.console import Console

    from mmseg_attn.explain import (
        activation_map,
        draw_activation,
        draw_class_maps,
        draw_figure,
        grad_cam,
        load_model,
        look,
        write_page,
    )
    from mmseg_attn.explain.view import require_block
    pairs, images = split_files(args.files)
    check_arguments(args, pairs, images)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with console.status('loading'):
        models = [load_model(*pair, args.device, args.cfg_options) for pair in pairs]
    names = args.names or names_of(pairs)
    blocks = args.block * (len(pairs) if len(args.block) == 1 else 1)
    for model, block in zip(models, blocks, strict=True):
        require_block(model, block)
    labels = [] if args.cam is None else [
        class_of(args.cam, model.dataset_meta['classes'], name) for model, name in zip(models, names, strict=True)]
    for image, stem in zip(images, stems_of(images), strict=True):
        began = time.perf_counter()
        with console.status(f'{image}: prediction'):
            views = [look(model, image, name, args.bands, block)
                     for model, name, block in zip(models, names, blocks, strict=True)]
        class_maps = None
        if labels:
            with console.status(f'{image}: Grad-CAM'):
                class_maps = [grad_cam(view, label, args.region) for view, label in zip(views, labels, strict=True)]
                path = args.out / f'{stem}.cam.png'
                draw_class_maps(path, views, class_maps)
            console.print(f'{path}: Grad-CAM of {args.cam}')
        if args.activation is not None:
            path = args.out / f'{stem}.activation.png'
            found = [activation_map(view, args.activation) for view in views]
            draw_activation(path, views, found)
            boxes = '; '.join(f'{view.name}: box {",".join(map(str, one.box)) if one.box else "none"}'
                              for view, one in zip(views, found, strict=True))
            console.print(f'{path}: activation; {boxes}')
        if args.points:
            with console.status(f'{image}: figure'):
                path = args.out / f'{stem}.png'
                draw_figure(path, views, args.points, influence=args.influence)
            console.print(f'{path}: figure of {len(args.points)} points')
        title = Path(image).name + (f' ({views[0].displayed})' if views[0].displayed else '')
        with console.status(f'{image}: maps'):
            path = args.out / f'{stem}.html'
            found = write_page(path, views, title=title, influence=args.influence, seconds=args.seconds,
                               class_maps=class_maps)
        kinds = ', '.join(f'{view.name}: {samples.kind} of {samples.num_points} pixels'
                          for view, samples in zip(views, found, strict=True))
        console.print(f'{path}: {kinds}; {path.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - began:.0f} s')
