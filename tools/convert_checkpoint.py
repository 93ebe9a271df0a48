"""Converts a checkpoint of an official code base or of mmsegmentation into one of ours.

    python tools/convert_checkpoint.py EMANet.pth emanet.pth
    python tools/convert_checkpoint.py danet_of_mmseg.pth danet.pth --write-config danet.py

Method and source are recognised from the names of the weights. docs/checkpoints.md lists what can be converted.
"""

import argparse
from collections import Counter
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

with readable_errors():
    require_openmmlab()
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from rich.console import Console
    from rich.table import Column, Table

    from mmseg_attn.checkpoints import Conversion, convert_checkpoint
    from mmseg_attn.checkpoints.config_text import literals_of, text_of
    from mmseg_attn.checkpoints.model import configs_folder, model_config
    from mmseg_attn.checkpoints.options import as_options
    from mmseg_attn.checkpoints.trust import check_types, without_loading
    from mmseg_attn.engine.arguments import SettingsAction
    from mmseg_attn.engine.config import load_config
    from mmseg_attn.registry import DATASETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='the file to convert')
    parser.add_argument('out', type=Path, help='the file to write')
    parser.add_argument('--method', help='emanet, psanet, ...; recognised from the weights if not given')
    parser.add_argument('--source', help='official, openseg, mmseg, mmcv; recognised from the weights if not given')
    parser.add_argument('--config', help='check that the weights fit the model of this config')
    parser.add_argument(
        '--write-config', type=Path, metavar='FILE', help='write a config under which the result is exact')
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, default={}, metavar='KEY=VALUE',
        help='what the weights do not tell of the model, such as model.decode_head.recurrence=3')
    parser.add_argument(
        '--inplace-abn', action=argparse.BooleanOptionalAction,
        help="whether the norms are InPlaceABN; as in the authors' code if not given")
    parser.add_argument(
        '--allow-pickle', action='store_true',
        help='read files that can only be read by running code they contain: from sources you trust')
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    if args.out.is_dir():
        raise UserError(f'{args.out} is a folder; name the file to write')
    if args.out.exists() and args.checkpoint.exists() and args.out.samefile(args.checkpoint):
        raise UserError(f'{args.out} is the file to convert; name another one to write')
    if args.write_config and (args.write_config.suffix != '.py' or args.write_config.is_dir()):
        raise UserError(f'--write-config writes Python, got {args.write_config}')
    if args.write_config and args.write_config.resolve() == args.out.resolve():
        raise UserError(f'--write-config and the checkpoint cannot both be {args.out}')


def read_config(path: str) -> Config:
    cfg = load_config(path)
    if not isinstance(cfg.get('model'), dict):
        raise UserError(f'{path} has no model')
    return cfg


def report(conversion: Conversion, console: Console) -> None:
    console.print(f'Recognised {conversion.source.method} of {conversion.source.description}.\n')
    table = Table(*(Column(name, overflow='fold') for name in ('mapped', 'to', 'tensors')))
    for (theirs, ours), number in Counter(_different_prefix(*pair) for pair in conversion.mapped).items():
        table.add_row(theirs, ours, str(number))
    console.print(table)
    if conversion.dropped:
        table = Table('dropped', 'why', 'number')
        for why, number in Counter(why for _, why in conversion.dropped).items():
            names = [name for name, reason in conversion.dropped if reason == why]
            table.add_row(', '.join(names[:2]) + (', ...' if number > 2 else ''), why, str(number))
        console.print(table)
    for note in conversion.notes:
        console.print(f'Note: {note}')


def _different_prefix(theirs: str, ours: str) -> tuple[str, str]:
    """Both without what their ends have in common."""
    theirs_parts, ours_parts = theirs.split('.'), ours.split('.')
    while theirs_parts and ours_parts and theirs_parts[-1] == ours_parts[-1]:
        theirs_parts.pop()
        ours_parts.pop()
    return '.'.join([*theirs_parts, '*']), '.'.join([*ours_parts, '*'])


def exact_config(conversion: Conversion) -> Config:
    """The config that the checkpoint holds, or the nearest of ours, with the model under which the result is exact."""
    if conversion.source_config is None:
        cfg = Config.fromfile(configs_folder() / conversion.config)
    else:
        check_types(conversion.source_config, 'the config in the file')
        cfg = Config(without_loading(conversion.source_config))
    cfg.model = conversion.model
    if literals_of(text_of(cfg)).keys() != cfg.keys():
        raise UserError('the config in the file cannot be written as a config: some of its values are no literals')
    return cfg


def dataset_meta(cfg: Config, num_classes: int) -> dict | None:
    """Names and colours of the classes, if the data set of the config has as many as the weights."""
    init_default_scope('mmseg')
    dataset = (cfg.get('test_dataloader') or {}).get('dataset', {})
    meta = getattr(DATASETS.get(dataset['type']), 'METAINFO', {}) if 'type' in dataset else {}
    return dict(meta) if len(meta.get('classes', ())) == num_classes else None


def write(conversion: Conversion, args: argparse.Namespace, exact: Config | None, meta: dict | None) -> None:
    try:
        if args.write_config:
            args.write_config.parent.mkdir(parents=True, exist_ok=True)
        conversion.save(args.out, meta)
        if args.write_config:
            exact.dump(str(args.write_config))
    except OSError as error:
        raise UserError(f'cannot write {error.filename or args.out}: {error.strerror or error}') from error


def main() -> None:
    args = parse_args()
    console = Console(markup=False, highlight=False)
    check_arguments(args)
    cfg = read_config(args.config) if args.config else None
    with console.status(f'reading {args.checkpoint}'):
        conversion = convert_checkpoint(
            args.checkpoint, args.method, args.source, settings=args.cfg_options, inplace_abn=args.inplace_abn,
            allow_pickle=args.allow_pickle)
    if args.write_config and conversion.model is None:
        raise UserError(f'--write-config needs a whole model; {args.checkpoint} has the weights of a part')
    name, overrides, base, exact, meta = f'configs/{conversion.config}', conversion.overrides, {}, None, None
    if cfg is not None:
        name, overrides, base = args.config, conversion.check(cfg.model.to_dict(), args.config), cfg.model.to_dict()
    elif conversion.model is not None:
        base = model_config(conversion.config)
    if conversion.model is not None:
        if args.write_config:
            exact = exact_config(conversion)
        if conversion.dataset_meta is None:
            cfg = cfg or Config.fromfile(configs_folder() / conversion.config)
            meta = dataset_meta(cfg, conversion.model['decode_head']['num_classes'])
    report(conversion, console)
    write(conversion, args, exact, meta)
    size = args.out.stat().st_size / 2**20
    console.print(f'\nWrote {args.out}: {len(conversion.state_dict)} tensors, {size:.1f} MiB.')
    if conversion.model is None:
        return
    if args.write_config:
        print(f'Exact under: {args.write_config}')
    print(f'{"or under" if args.write_config else "Exact under"}: {name}')
    if overrides:
        print(f'  with: --cfg-options {as_options(overrides, base)}')


if __name__ == '__main__':
    with readable_errors():
        main()
