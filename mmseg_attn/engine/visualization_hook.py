"""Pictures of ground truth and prediction over images of any kind."""

import os.path as osp

import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmseg.engine.hooks import SegVisualizationHook as MMSegVisualizationHook
from mmseg.registry import HOOKS as MMSEG_HOOKS
from mmseg.structures import SegDataSample

from mmseg_attn.common.display import displayable, how_displayed
from mmseg_attn.common.drawing import Painter
from mmseg_attn.common.errors import DataError
from mmseg_attn.datasets.loaded import LoadedImages
from mmseg_attn.registry import HOOKS


def show_loaded_images(cfg: Config) -> None:
    """Puts :class:`SegVisualizationHook` in the place of mmseg's in a config."""
    for hook in (*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])):
        if isinstance(hook, dict) and _class_of(hook.get('type')) is MMSegVisualizationHook:
            hook['type'] = 'mmseg_attn.SegVisualizationHook'


def _class_of(name: object) -> object:
    # In the registries of others, since in ours the name without a scope is that of our hook.
    return MMSEG_HOOKS.get(name) or MMENGINE_HOOKS.get(name) if isinstance(name, str) else name


@HOOKS.register_module()
class SegVisualizationHook(MMSegVisualizationHook):
    """mmseg's hook, with pictures of ours: labels left, prediction right, a legend beside them.

    They are drawn over the images as the pipeline of the config loads them. mmseg's reads every file as 8-bit colours,
    and fails where OpenCV does: at arrays, many bands, floats; and it writes names of classes over the picture, cut
    off at its rim. An image that cannot be shown is left out with a warning, since the metrics are worth more than a
    picture.

    Args:
        kwargs: arguments of mmseg's SegVisualizationHook.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.images: LoadedImages | None = None
        self.displayed: set[str] = set()
        self.count = 0

    def before_val_epoch(self, runner) -> None:
        self._begin(runner.val_dataloader.dataset)

    def before_test_epoch(self, runner) -> None:
        self._begin(runner.test_dataloader.dataset)

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: list[SegDataSample] | None = None) -> None:
        number = runner.iter + batch_idx
        if self.draw and number % self.interval == 0:
            self._draw(runner, 'val', outputs[0], number)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: list[SegDataSample] | None = None) -> None:
        for sample in outputs if self.draw else []:
            self.count += 1
            self._draw(runner, 'test', sample, self.count)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._end(runner)

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        self._end(runner)

    def _begin(self, dataset: object) -> None:
        self.images = LoadedImages(dataset)
        self.displayed.clear()

    def _draw(self, runner, mode: str, sample: SegDataSample, number: int) -> None:
        if not is_main_process():  # the only one whose pictures the visualizer keeps
            return
        try:
            pixels = self.images.load(sample.img_path)
            size = sample.pred_sem_seg.data.shape[-2:]
            if pixels.shape[:2] != tuple(size):
                raise DataError(f'{sample.img_path}: it is loaded with {pixels.shape[1]} x {pixels.shape[0]} pixels, '
                                f'and its prediction has {size[1]} x {size[0]}')
        except DataError as error:
            runner.logger.warning(f'There is no picture of {error}')
            return
        self.displayed.add(how_displayed(pixels))
        name = f'{mode}_{osp.basename(sample.img_path)}'
        picture = self._picture(displayable(pixels), sample)
        if self.show:
            self._visualizer.show(picture, win_name=name, wait_time=self.wait_time)
        self._visualizer.add_image(name, picture, number)

    def _picture(self, shown: np.ndarray, sample: SegDataSample) -> np.ndarray:
        meta = self._visualizer.dataset_meta
        painter = Painter(meta['classes'], meta['palette'], getattr(self._visualizer, 'alpha', 0.5))
        maps = [sample.get(name) for name in ('gt_sem_seg', 'pred_sem_seg')]
        return painter.side_by_side(shown, [
            labels.data[0].cpu().numpy().astype(np.int64) for labels in maps
            if labels is not None and labels.data.shape[-2:] == shown.shape[:2]])

    def _end(self, runner) -> None:
        for said in sorted(self.displayed - {''}):
            runner.logger.info(f'Pictures show {said}')
