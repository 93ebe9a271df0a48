"""A picture as a network sees it: prediction, features, and where the cells of a feature map lie in the picture."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmseg.models import BaseSegmentor
from torch import Tensor, nn

from mmseg_attn.checkpoints.loading import head_of
from mmseg_attn.common.display import displayable, how_displayed
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.pictures import PictureReader, naming, naming_refusals
from mmseg_attn.common.windows import windows
from mmseg_attn.models.multi_scale import MultiScaleEncoderDecoder

from .place import Place, Span


@dataclass
class Window:
    """What goes through the network at once: the whole picture, or a crop of it where the config slides."""

    inputs: Tensor
    features: list[Tensor]
    meta: dict
    x: Span
    y: Span
    block_input: Tensor | None = None  # of the block that is looked at, where it is not the head

    def place(self, rows: int, columns: int) -> Place:
        """Where the cells of a map of this window lie in the picture."""
        return Place(self.x.axis(columns), self.y.axis(rows))

    def distance(self, x: float, y: float) -> float:
        """Squared, from the middle of the window."""
        return (x - self.x.middle) ** 2 + (y - self.y.middle) ** 2


@dataclass
class View:
    """A picture through one model.

    Attributes:
        model: the segmentor, in evaluation mode.
        name: of the model, for titles.
        picture: (H, W, 3) RGB, uint8.
        labels: (H, W) predicted classes.
        windows: the parts of the picture that the model sees; at several scales, what it sees at scale 1.
        displayed: what is to be said of how the picture is shown.
        block: name of the block in the model whose attention is shown; '' for that of the head.
        scale_weights: (S, H, W) how much each of the model's ``test_scales`` counts at each pixel, from 0 to 1; None of
            a model that has one scale.
    """

    model: BaseSegmentor = field(repr=False)
    name: str
    picture: np.ndarray = field(repr=False)
    labels: Tensor = field(repr=False)
    windows: list[Window] = field(repr=False)
    displayed: str = ''
    block: str = ''
    scale_weights: Tensor | None = field(default=None, repr=False)

    @property
    def attention(self) -> nn.Module:
        """The block, or the head, whose ``attention_map`` is shown."""
        return self.model.get_submodule(self.block) if self.block else self.head

    @property
    def head(self) -> nn.Module:
        return head_of(self.model)

    @property
    def classes(self) -> list[str]:
        return self.model.dataset_meta['classes']

    @property
    def palette(self) -> list[tuple[int, int, int]]:
        return self.model.dataset_meta['palette']

    def window_of(self, x: float, y: float) -> Window:
        """The window whose middle is nearest to a point of the picture."""
        return min(self.windows, key=lambda window: window.distance(x, y))

    def label_at(self, x: float, y: float) -> int:
        height, width = self.labels.shape
        return int(self.labels[_pixel(y, height), _pixel(x, width)])


def _pixel(position: float, size: int) -> int:
    return min(max(int(position + 0.5), 0), size - 1)


@torch.no_grad()
def look(model: BaseSegmentor, image: str | Path | np.ndarray, name: str | None = None,
         bands: tuple[int, ...] | None = None, block: str = '') -> View:
    """Runs a model on a picture, through the test pipeline of its config.

    Args:
        model: from :func:`load_model` or mmseg's ``init_model``.
        image: a file, or an array (H, W, 3) in BGR as ``mmcv.imread`` gives it.
        name: of the model, for titles; the type of its head by default.
        bands: which channels of the picture are shown; see :func:`mmseg_attn.common.display.displayable`.
        block: name of the block in the model whose attention is shown, for example
            'backbone.layer3.5.non_local'; '' for that of the head.

    Raises:
        UserError: the model has no such block, or the block has no map over pixels.
        ValueError: the image cannot be read or is not (H, W, channels), the test pipeline flips it, the network cannot
            take it, or the model is in training mode.
    """
    if model.training:
        raise ValueError('the model is in training mode, where a look would change its norms: call .eval() on it first')
    require_block(model, block)
    reader = PictureReader(model.cfg)
    if isinstance(image, np.ndarray) and image.ndim != 3:
        raise ValueError('a picture is an array of shape (H, W, channels), BGR; got '
                         f'{image.dtype} of shape {image.shape}')
    picture = reader.from_array(image) if isinstance(image, np.ndarray) else reader.load(image)
    with nullcontext() if isinstance(image, np.ndarray) else naming(image):
        loaded = reader.prepare(picture)
        if loaded['data_samples'].get('flip'):
            raise UserError('the test pipeline flips images: maps of a flipped picture would lie on the wrong side')
        with naming_refusals(picture), _recorded_features(model) as recorded, _recorded_inputs(model, block) as inside:
            data = model.data_preprocessor(
                dict(inputs=[loaded['inputs']], data_samples=[loaded['data_samples']]), False)
            inputs, meta = data['inputs'], dict(data['data_samples'][0].metainfo)
            prediction = model.predict(inputs, data['data_samples'])[0].pred_sem_seg.data[0]
    weights = None
    if isinstance(model, MultiScaleEncoderDecoder):
        weights = model.scale_weights(inputs, data['data_samples'])[0].cpu()
    found = []
    if not block:
        inside = [None] * len(recorded)
    if len(inside) != len(recorded):
        raise UserError(f'{block} sees every picture {len(inside) / len(recorded):g} times, and only what is seen once '
                        'can be shown')
    for (rows, columns), features, block_input in zip(_windows(inputs, model), recorded, inside, strict=True):
        crop = inputs[:, :, rows, columns]
        size = dict(img_shape=crop.shape[2:], pad_shape=crop.shape[2:])
        spans = _spans(crop, columns.start, rows.start, inputs, meta, model.align_corners)
        found.append(Window(crop, features, meta | size, *spans, block_input))
    name = name or type(head_of(model)).__name__
    return View(model, name, displayable(picture.pixels, bands), prediction.long().cpu(), found,
                how_displayed(picture.pixels, bands), block, weights)


def require_block(model: BaseSegmentor, name: str) -> None:
    """Raises UserError unless ``name`` is '' or that of a block with an attention map over pixels."""
    if not name:
        return
    blocks = {found: module for found, module in model.named_modules()
              if callable(getattr(module, 'attention_map', None)) and module is not head_of(model)}
    if name not in blocks:
        raise UserError(f'{name} is no block with an attention map; the model has '
                        f'{", ".join(blocks) or "none but its head"}')
    # The contract of a block without a map: it says so before it looks at its arguments.
    try:
        blocks[name].attention_map(torch.empty(0), torch.empty(0))
    except NotImplementedError as error:
        raise UserError(f'{name}: {error}') from error
    except Exception:  # an input of nothing fits no block
        return


def scores(view: View, window: Window, features: list[Tensor]) -> Tensor:
    """What the model makes of features in place of the window's own: (K, h, w) scores at the size of the window.

    They are differentiable with respect to the features, and to no weight, which would cost as much again.
    """
    trained = [parameter for parameter in view.model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            # Copies, because a head may change its input in place.
            features = [feature.clone() if isinstance(feature, Tensor) else feature for feature in features]
            with _given_features(view.model, features):
                return view.model.encode_decode(window.inputs, [dict(window.meta)])[0]
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def checked(maps: Tensor) -> Tensor:
    """``maps``, or a ValueError if they are not finite."""
    if not maps.isfinite().all():
        raise ValueError('the maps have values that are not finite: do the weights belong to this config?')
    return maps


@contextmanager
def _recorded_features(model: BaseSegmentor) -> Iterator[list[list[Tensor]]]:
    """Collects for the while the features of every image or crop, each on its own, in the order they are computed."""
    recorded, extract_feat = [], model.extract_feat

    def extract_and_record(inputs: Tensor) -> list[Tensor]:
        features = extract_feat(inputs)
        recorded.extend(
            [feature[i:i + 1] if isinstance(feature, Tensor) else feature for feature in features]
            for i in range(len(inputs)))
        return features
    model.extract_feat = extract_and_record
    try:
        yield recorded
    finally:
        del model.extract_feat


@contextmanager
def _recorded_inputs(model: BaseSegmentor, block: str) -> Iterator[list[Tensor]]:
    """Collects for the while the inputs of a block for every image or crop, each on its own."""
    recorded: list[Tensor] = []
    if not block:
        yield recorded
        return
    handle = model.get_submodule(block).register_forward_pre_hook(
        lambda module, inputs: recorded.extend(inputs[0].split(1)))
    try:
        yield recorded
    finally:
        handle.remove()


@contextmanager
def _given_features(model: BaseSegmentor, features: list[Tensor]) -> Iterator[None]:
    """The backbone yields ``features`` for the while."""
    model.extract_feat = lambda inputs: features
    try:
        yield
    finally:
        del model.extract_feat


def _slides(model: BaseSegmentor) -> bool:
    return model.test_cfg.get('mode') == 'slide'


def _windows(inputs: Tensor, model: BaseSegmentor) -> list[tuple[slice, slice]]:
    """Rows and columns of what goes through the network at once."""
    size = tuple(inputs.shape[2:])
    if not _slides(model):
        return [(slice(0, size[0]), slice(0, size[1]))]
    return windows(size, model.test_cfg['crop_size'], model.test_cfg['stride'])


def _spans(crop: Tensor, x: int, y: int, inputs: Tensor, meta: dict, align_corners: bool) -> tuple[Span, Span]:
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    height, width = inputs.shape[2:]
    picture_height, picture_width = meta['ori_shape'][:2]
    return (Span(crop.shape[3], x - left, width - left - right, picture_width, align_corners),
            Span(crop.shape[2], y - top, height - top - bottom, picture_height, align_corners))
