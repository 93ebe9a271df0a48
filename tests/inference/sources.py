"""A small model and small videos, as files."""

import cv2
import numpy as np
import torch
from mmseg.apis import init_model
from torch import nn

from mmseg_attn.common.config_checks import check_config
from tests.explain.models import config, picture

FPS = 12.5


@torch.no_grad()
def network(**options):
    """A model of the built-in data whose prediction follows the picture, with all classes in it."""
    cfg = config(**options)
    check_config(cfg)
    torch.manual_seed(0)
    built = init_model(cfg, device='cpu')
    built.init_weights()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    images = [torch.from_numpy(picture(seed=seed)).permute(2, 0, 1) for seed in range(4)]
    inputs = torch.cat([built.data_preprocessor(dict(inputs=[image]))['inputs'] for image in images])
    built.decode_head.conv_seg.weight.normal_()
    built.train()
    logits = built.decode_head(built.extract_feat(inputs))
    built.decode_head.conv_seg.bias -= logits.mean(dim=(0, 2, 3))
    built.dataset_meta = dict(classes=[f'class {i}' for i in range(5)],
                              palette=[(40 * i, 255 - 40 * i, 90) for i in range(5)])
    return built.eval()


def save_model(folder):
    """Writes config.py, and weights.pth as mmengine saves them."""
    config().dump(folder / 'config.py')
    built = network()
    torch.save(dict(state_dict=built.state_dict(), meta=dict(dataset_meta=built.dataset_meta)), folder / 'weights.pth')


def write_video(path, frames=5, size=(44, 60)):
    """An MP4 of even sides, or an AVI of any."""
    how = (cv2.CAP_FFMPEG, 'mp4v') if path.suffix == '.mp4' else (cv2.CAP_OPENCV_MJPEG, 'MJPG')
    writer = cv2.VideoWriter(str(path), how[0], cv2.VideoWriter_fourcc(*how[1]), FPS, size[::-1])
    for seed in range(frames):
        writer.write(picture(*size, seed=seed))
    writer.release()
    return path


def read_video(path):
    """All frames (T, H, W, 3), BGR, and how many a second has."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    return np.stack(frames), capture.get(cv2.CAP_PROP_FPS)
