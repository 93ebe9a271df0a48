"""Memory and time of a prediction at 1024 x 2048 by sliding windows: mmseg's EncoderDecoder and mmseg_attn's.

    OMP_NUM_THREADS=1 python benchmarks/slide_memory.py
    OMP_NUM_THREADS=1 python benchmarks/slide_memory.py --networks tiny --classes 150 --crop 769 769

'peak' is how much the memory that PyTorch has allocated grows at most during ``test_step``; 'kept', what the prediction
holds of it afterwards. The image is given at 1024 x 2048 or, 'halved', at 512 x 1024, from which its prediction is
resized. 'other labels' counts the pixels that are labelled otherwise than by mmseg. On a GPU the memory is the GPU's.
"""

import argparse
import time

import mmengine
import mmseg
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample

from mmseg_attn.benchmark.memory import peak_memory
from mmseg_attn.registry import MODELS

SIZES = {'whole': (1024, 2048), 'halved': (512, 1024)}
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
# Tensors on the meta device have no memory. So it stands for the CPU beside a GPU, where there is no GPU.
ELSEWHERE = 'cpu' if DEVICE.type == 'cuda' else 'meta'
SEGMENTORS = {
    'mmseg': dict(type='EncoderDecoder'),
    'ours': dict(type='mmseg_attn.EncoderDecoder'),
    'crops_per_batch=3': dict(type='mmseg_attn.EncoderDecoder', crops_per_batch=3),
    'keep_logits=False': dict(type='mmseg_attn.EncoderDecoder', keep_logits=False),
    f'logits_device={ELSEWHERE}': dict(type='mmseg_attn.EncoderDecoder', logits_device=ELSEWHERE),
}
NETWORKS = {
    'tiny': dict(
        backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=1, strides=(1, ),
                      dilations=(1, ), out_indices=(0, )),
        decode_head=dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=0, concat_input=False)),
    'resnet18': dict(
        backbone=dict(type='ResNetV1c', depth=18, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        decode_head=dict(type='mmseg_attn.NLHead', in_channels=512, in_index=3, channels=128)),
}


def build(network: str, classes: int, crop: list[int], type: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(
        type=type, data_preprocessor=dict(type='SegDataPreProcessor'), backbone=NETWORKS[network]['backbone'],
        decode_head=dict(NETWORKS[network]['decode_head'], num_classes=classes),
        test_cfg=dict(mode='slide', crop_size=crop, stride=[side * 2 // 3 for side in crop], **options)))
    return model.eval().to(DEVICE)


def predict(model: torch.nn.Module, image: torch.Tensor) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(ori_shape=SIZES['whole'], img_shape=image.shape[1:]))
    return model.test_step(dict(inputs=[image], data_samples=[sample]))[0]


def kept_memory(sample: SegDataSample) -> int:
    """Bytes on the device."""
    tensors = [sample.get(name).data for name in ('seg_logits', 'pred_sem_seg') if name in sample]
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors if tensor.device.type == DEVICE.type)


def timed(model: torch.nn.Module, image: torch.Tensor) -> tuple[SegDataSample, float]:
    """A prediction, and seconds."""
    start = time.perf_counter()
    sample = predict(model, image)
    if DEVICE.type == 'cuda':
        torch.cuda.synchronize()
    return sample, time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument('--classes', type=int, nargs='+', default=[19, 150])
    parser.add_argument('--crop', type=int, nargs=2, default=[512, 1024], metavar=('HEIGHT', 'WIDTH'))
    args = parser.parse_args()
    init_default_scope('mmseg')
    device = torch.cuda.get_device_name() if DEVICE.type == 'cuda' else f'CPU, threads: {torch.get_num_threads()}'
    print(f'crop {args.crop}, stride 2/3; torch {torch.__version__}, mmseg {mmseg.__version__}, '
          f'mmengine {mmengine.__version__}; {device}\n')
    print('| network | classes | image | segmentor | peak MiB | kept MiB | seconds | other labels |')
    print('| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |')
    for network, classes, image in ((n, c, i) for n in args.networks for c in args.classes for i in SIZES):
        torch.manual_seed(0)
        pixels = torch.randn(3, *SIZES[image], device=DEVICE)
        expected = None
        for name, options in SEGMENTORS.items():
            model = build(network, classes, args.crop, **options)
            if DEVICE.type == 'cuda':
                predict(model, pixels)  # cuDNN and cuBLAS allocate their workspaces once
            peak = peak_memory(lambda model=model, pixels=pixels: predict(model, pixels), DEVICE)
            sample, seconds = timed(model, pixels)
            labels = sample.pred_sem_seg.data
            expected = labels if expected is None else expected
            other = '' if labels.is_meta else str((labels.cpu() != expected.cpu()).sum().item())
            print(f'| {network} | {classes} | {image} | {name} | {peak / 2**20:.0f} | '
                  f'{kept_memory(sample) / 2**20:.0f} | {seconds:.1f} | {other} |', flush=True)
            del sample, labels


if __name__ == '__main__':
    main()
