"""The code bases whose checkpoints can be converted, one file each."""

from . import ccnet, danet, emanet, mmcv, mmseg, ocnet, openseg, semseg, vit

SOURCES = (*emanet.SOURCES, *semseg.SOURCES, *ccnet.SOURCES, *danet.SOURCES, *ocnet.SOURCES, *openseg.SOURCES,
           *mmseg.SOURCES, *mmcv.SOURCES, *vit.SOURCES)
