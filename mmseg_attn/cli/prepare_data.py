"""Prepares a data set: PASCAL VOC 2012 with SBD, Cityscapes, or CamVid.

    mmseg-attn prepare_data voc                            downloads, unpacks, converts, checks
    mmseg-attn prepare_data cityscapes --archives DIR      the same with the archives that you have got
    mmseg-attn prepare_data camvid FOLDER_OR_ARCHIVE       copies, checks

Run it again after an interruption, or to check what is there: it goes on where it stopped. docs/data_preparation.md.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from mmseg_attn.common.arguments import check_at_least
from mmseg_attn.common.errors import INTERRUPTED, UserError

# The data_root of the configs, one of them, and the settings by which it is told where the data are.
DATA_ROOT = {'voc': 'data/VOCdevkit/VOC2012', 'cityscapes': 'data/cityscapes', 'camvid': 'data/camvid'}
CONFIG = {'voc': 'emanet_r101_voc', 'cityscapes': 'emanet_r101_cityscapes', 'camvid': 'emanet_r18_camvid'}
TRAINING_SETS = {'voc': ('train_dataloader.dataset.datasets.0', 'train_dataloader.dataset.datasets.1')}
OTHER_SETS = ('val_dataloader.dataset', 'test_dataloader.dataset')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(dest='data', required=True, metavar='{voc,cityscapes,camvid}')
    voc = parsers.add_parser('voc', help='PASCAL VOC 2012 with the annotations of SBD: downloads both')
    cityscapes = parsers.add_parser('cityscapes', help='Cityscapes: takes the two archives that you have downloaded')
    camvid = parsers.add_parser('camvid', help='CamVid: takes a folder or an archive')
    camvid.add_argument('source', nargs='?', type=Path, help='folder CamVid of the SegNet tutorial, or archive of it')
    for name, one in (('voc', voc), ('cityscapes', cityscapes), ('camvid', camvid)):
        one.add_argument('--data-root', type=Path, default=Path(DATA_ROOT[name]),
                         help=f'where the data set shall be; {DATA_ROOT[name]} by default, as in the configs')
        one.add_argument('--nproc', type=int, help='processes; as many as CPUs by default')
    for one in (voc, cityscapes):
        one.add_argument('--archives', type=Path, default=Path('data/archives'), metavar='DIR',
                         help='where the archives are, or are downloaded to; data/archives by default')
    voc.add_argument('--url', metavar='URL', help='a folder on a server that has both archives under their own names, '
                     'instead of the official addresses; what comes from there must have the right checksum')


def prepare(args: argparse.Namespace) -> None:
    from mmseg_attn.data_tools.camvid import prepare_camvid
    from mmseg_attn.data_tools.cityscapes import prepare_cityscapes
    from mmseg_attn.data_tools.parallel import available_cpus
    from mmseg_attn.data_tools.voc import prepare_voc
    check_at_least(1, nproc=args.nproc)
    nproc = args.nproc or available_cpus()
    if args.data == 'voc':
        prepare_voc(args.data_root, args.archives, args.url, nproc)
    elif args.data == 'cityscapes':
        prepare_cityscapes(args.data_root, args.archives, nproc)
    else:
        prepare_camvid(args.data_root, args.source, nproc)


def next_steps(data: str, data_root: Path) -> str:
    options = ''
    if data_root != Path(DATA_ROOT[data]):
        sets = (*TRAINING_SETS.get(data, ('train_dataloader.dataset', )), *OTHER_SETS)
        options = ' --cfg-options ' + shlex.join(f'{name}.data_root={data_root}' for name in sets)
    lines = [f'  mmseg-attn {command} {CONFIG[data]}{options}' for command in ('check_data', 'train')]
    return '\n'.join(['Next, look at it, and train:', *lines])


def main(args: argparse.Namespace) -> None:
    try:
        prepare(args)
    except KeyboardInterrupt:
        print('\nInterrupted. The same command goes on where it stopped.', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Such as a full disk or a folder that must not be written to; the file is the user's to mend.
        raise UserError(f'{error.filename or os.fspath(args.data_root)}: {error.strerror or error}') from error
    print(f'\n{args.data_root} is whole: every image and label map could be read.\n'
          f'{next_steps(args.data, args.data_root)}')
