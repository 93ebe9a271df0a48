"""Prepares a data set: PASCAL VOC 2012 with SBD, Cityscapes, CamVid, ADE20K, or annotations of labelme, COCO or CVAT.

    mmseg-attn prepare_data voc                            downloads, unpacks, converts, checks
    mmseg-attn prepare_data cityscapes --archives DIR      the same with the archives that you have got
    mmseg-attn prepare_data camvid FOLDER_OR_ARCHIVE       copies, checks
    mmseg-attn prepare_data ade20k FOLDER_OR_ARCHIVE       copies, checks

    mmseg-attn prepare_data labelme FOLDER --data-root data/mine --write-config mine.py
    mmseg-attn prepare_data coco FILE.json --images DIR --data-root data/mine --write-config mine.py
    mmseg-attn prepare_data coco TRAIN.json VAL.json --images DIR --images DIR --data-root data/mine
    mmseg-attn prepare_data cvat FILE.xml --images DIR --data-root data/mine --write-config mine.py

The last ones draw label maps of outlines and masks, and write a config that trains on them.

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
DATA_ROOT = {'voc': 'data/VOCdevkit/VOC2012', 'cityscapes': 'data/cityscapes', 'camvid': 'data/camvid',
             'ade20k': 'data/ade/ADEChallengeData2016'}
CONFIG = {'voc': 'emanet_r101_voc', 'cityscapes': 'emanet_r101_cityscapes', 'camvid': 'emanet_r18_camvid',
          'ade20k': 'ocnet_r101_ade20k'}
TRAINING_SETS = {'voc': ('train_dataloader.dataset.datasets.0', 'train_dataloader.dataset.datasets.1')}
OTHER_SETS = ('val_dataloader.dataset', 'test_dataloader.dataset')
ANNOTATIONS = ('labelme', 'coco', 'cvat')
# Copied as a whole, so that what an interruption has left is copied again.
COPIED = 'camvid', 'ade20k'
LINE_WIDTH = 10.0  # of labelme's own export
SHARE = '0.2'  # of the images, to validate on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(
        dest='data', required=True, metavar='{voc,cityscapes,camvid,ade20k,labelme,coco,cvat}')
    voc = parsers.add_parser('voc', help='PASCAL VOC 2012 with the annotations of SBD: downloads both')
    cityscapes = parsers.add_parser('cityscapes', help='Cityscapes: takes the two archives that you have downloaded')
    camvid = parsers.add_parser('camvid', help='CamVid: takes a folder or an archive')
    camvid.add_argument('source', nargs='?', type=Path, help='folder CamVid of the SegNet tutorial, or archive of it')
    ade20k = parsers.add_parser('ade20k', help='ADE20K of the scene parsing benchmark: takes a folder or an archive')
    ade20k.add_argument('source', nargs='?', type=Path, help='ADEChallengeData2016.zip, or the folder in it')
    for name, one in (('voc', voc), ('cityscapes', cityscapes), ('camvid', camvid), ('ade20k', ade20k)):
        one.add_argument('--data-root', type=Path, default=Path(DATA_ROOT[name]),
                         help=f'where the data set shall be; {DATA_ROOT[name]} by default, as in the configs')
        one.add_argument('--nproc', type=int, help='processes; as many as CPUs by default')
    for one in (voc, cityscapes):
        one.add_argument('--archives', type=Path, default=Path('data/archives'), metavar='DIR',
                         help='where the archives are, or are downloaded to; data/archives by default')
    voc.add_argument('--url', metavar='URL', help='a folder on a server that has both archives under their own names, '
                     'instead of the official addresses; what comes from there must have the right checksum')
    labelme = parsers.add_parser('labelme', help='your annotations of labelme: a folder of JSON files')
    labelme.add_argument('source', type=Path, metavar='FOLDER', help='JSON files, with their images beside or in them')
    labelme.add_argument('--images', type=Path, metavar='DIR', help='where the images are instead')
    coco = parsers.add_parser('coco', help='your annotations in the format of COCO: a JSON file')
    coco.add_argument('source', type=Path, metavar='FILE.json', help='with images, annotations and categories')
    coco.add_argument('validation', nargs='?', type=Path, metavar='VAL.json',
                      help='the same for the images to validate on, where they have a file of their own')
    coco.add_argument('--images', type=Path, metavar='DIR', required=True, action='append',
                      help='the folder that the names of the images begin in; a second --images is that of VAL.json')
    cvat = parsers.add_parser('cvat', help='your annotations of CVAT, exported as "CVAT for images 1.1"')
    cvat.add_argument('source', type=Path, metavar='FILE.xml', help='annotations.xml of the export')
    cvat.add_argument('--images', type=Path, metavar='DIR', required=True,
                      help='the folder that the names of the images begin in')
    for one in (labelme, coco, cvat):
        _add_annotation_arguments(one)


def _add_annotation_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--data-root', type=Path, required=True, metavar='DIR',
                        help='where the data set shall be, such as data/mine')
    parser.add_argument('--classes', nargs='+', metavar='CLASS',
                        help='names of the classes in their order, or a text file with one in each line; those of the '
                        'annotations by default')
    parser.add_argument('--ignored', nargs='+', default=[], metavar='LABEL',
                        help='labels whose pixels are ignored (255) instead of a class')
    parser.add_argument('--ignore-unknown', action='store_true',
                        help='ignore the pixels of labels that are no classes, which are an error otherwise')
    parser.add_argument('--no-background', action='store_true',
                        help='ignore the pixels in no shape, instead of making them class 0, background')
    parser.add_argument('--line-width', type=float, default=LINE_WIDTH, metavar='PIXELS',
                        help=f'of lines, which have none of their own; {LINE_WIDTH:g} by default')
    parser.add_argument('--val', metavar='SHARE',
                        help='the share of the images to validate on, or a text file with their names; '
                        f'{SHARE} by default')
    parser.add_argument('--link', action='store_true',
                        help='make hard links of the images instead of copies: no space, but one file with two names')
    parser.add_argument('--write-config', type=Path, metavar='FILE.py', help='write a config that trains on the data')
    parser.add_argument('--nproc', type=int, help='processes; as many as CPUs by default')


def prepare(args: argparse.Namespace) -> None:
    from mmseg_attn.data_tools.ade20k import prepare_ade20k
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
    elif args.data == 'camvid':
        prepare_camvid(args.data_root, args.source, nproc)
    elif args.data == 'ade20k':
        prepare_ade20k(args.data_root, args.source, nproc)
    else:
        prepare_annotations(args, nproc)


def prepare_annotations(args: argparse.Namespace, nproc: int) -> None:
    from mmseg_attn.data_tools.annotations.classes import number_classes, read_classes
    from mmseg_attn.data_tools.annotations.coco import read_coco
    from mmseg_attn.data_tools.annotations.cvat import read_cvat
    from mmseg_attn.data_tools.annotations.labelme import read_labelme
    from mmseg_attn.data_tools.annotations.report import lines_of
    from mmseg_attn.data_tools.annotations.split import split_by, split_images
    from mmseg_attn.data_tools.annotations.training_config import (
        require_config_place,
        require_same_config,
        write_config,
    )
    from mmseg_attn.data_tools.annotations.writing import expected, write_data_set
    _check_annotation_arguments(args)
    if args.write_config is not None:
        require_config_place(args.write_config)
    classes = read_classes(args.classes)
    if args.data == 'labelme':
        annotations = read_labelme(args.source, args.images, nproc)
    elif args.data == 'coco':
        validation = None if args.validation is None else (args.validation, args.images[-1])
        annotations = read_coco(args.source, args.images[0], validation)
    else:
        annotations = read_cvat(args.source, args.images)
    if len(annotations.images) < 2:
        raise UserError(f'{args.source} has {len(annotations.images)} annotated images: one to train and one to '
                        'validate on are the least')
    numbering = number_classes(annotations, classes, args.ignored, args.ignore_unknown, not args.no_background)
    if annotations.validated is None:
        split = split_images(annotations.images, SHARE if args.val is None else args.val)
    else:
        split = split_by(annotations.images, annotations.validated, str(args.validation))
    if args.write_config is not None:
        require_same_config(expected(args.data_root, annotations, numbering, split), args.write_config)
    written = write_data_set(args.data_root, annotations, numbering, split, args.line_width, args.link, nproc)
    print('\n'.join(lines_of(written)))
    if written.was_there:
        print(f'{args.data_root} was there, and is what these annotations give')
    if args.write_config is not None:
        write_config(written, args.write_config)


def _check_annotation_arguments(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: the width of lines is no number above 0, the data set would lie among what it is made of, or the
            config in the data set; or what is to be validated on is said twice.
    """
    if not 0 < args.line_width <= 1000:
        raise UserError(f'--line-width must be from 0 to 1000 pixels, got {args.line_width:g}')
    if args.data == 'labelme' and args.data_root.resolve().is_relative_to(args.source.resolve()):
        raise UserError(f'--data-root {args.data_root} lies in {args.source}, which it is made of: choose another')
    if args.data == 'coco':
        _check_coco_arguments(args)
    if args.write_config is not None and args.write_config.resolve().is_relative_to(args.data_root.resolve()):
        raise UserError(f'--write-config {args.write_config} lies in the data set: choose another place')


def _check_coco_arguments(args: argparse.Namespace) -> None:
    files = [args.source] if args.validation is None else [args.source, args.validation]
    if len(args.images) > len(files):
        raise UserError(f'--images is given {len(args.images)} times: give it once, or once for each file of '
                        f'annotations ({", ".join(map(str, files))})')
    if args.validation is not None and args.val is not None:
        raise UserError(f'--val {args.val} chooses images to validate on, and so does {args.validation}: leave one out')


def next_steps(args: argparse.Namespace) -> str:
    if args.data in ANNOTATIONS:
        if args.write_config is None:
            return 'Next, write a config: the same command with --write-config FILE.py does'
        config = shlex.quote(os.fspath(args.write_config))
        lines = [f'  mmseg-attn {command} {config}' for command in ('check_data', 'train')]
        return '\n'.join([f'{args.write_config} is a config for it. Next, look at it, and train:', *lines])
    options = ''
    if args.data_root != Path(DATA_ROOT[args.data]):
        sets = (*TRAINING_SETS.get(args.data, ('train_dataloader.dataset', )), *OTHER_SETS)
        options = ' --cfg-options ' + shlex.join(f'{name}.data_root={args.data_root}' for name in sets)
    lines = [f'  mmseg-attn {command} {CONFIG[args.data]}{options}' for command in ('check_data', 'train')]
    return '\n'.join(['Next, look at it, and train:', *lines])


def main(args: argparse.Namespace) -> None:
    try:
        prepare(args)
    except KeyboardInterrupt:
        again = 'begins anew' if args.data in (*ANNOTATIONS, *COPIED) else 'goes on where it stopped'
        print(f'\nInterrupted. The same command {again}.', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Such as a full disk or a folder that must not be written to; the file is the user's to mend.
        raise UserError(f'{error.filename or os.fspath(args.data_root)}: {error.strerror or error}') from error
    print(f'\n{args.data_root} is whole: every image and label map could be read.\n'
          f'{next_steps(args)}')
