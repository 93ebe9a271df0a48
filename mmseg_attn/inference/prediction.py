"""A picture through a model: its label map, and the probabilities of its classes where they are wanted."""

from dataclasses import dataclass

import numpy as np
import torch
from mmseg.models import BaseSegmentor
from mmseg.structures import SegDataSample

from mmseg_attn.common.amp import autocast
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.pictures import Picture, PictureReader, naming_refusals

MOST_CLASSES = 256  # that a PNG has room for


@dataclass
class Prediction:
    """What a model says of a picture of H x W pixels.

    Attributes:
        labels: (H, W) uint8, the classes.
        probabilities: (K, H, W) float16 in the order of ``Predictor.channels``, or None.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None


class Predictor:
    """Predicts pictures, one at a time, through the test pipeline of the config less the loading of labels.

    Args:
        model: from :func:`mmseg_attn.checkpoints.load_model`.
        probabilities: whether predictions have them. They cost memory: two more maps for each class.
        dtype: of autocast; None for none.

    Attributes:
        reader: reads pictures as the config does.
        channels: the names of the classes that have a probability: all, or the second of the two that a model with one
            output channel tells apart.

    Raises:
        UserError: the model has more classes than a PNG has room for, or a test pipeline that does not begin by
            reading an image file.
    """

    def __init__(self, model: BaseSegmentor, probabilities: bool = False, dtype: torch.dtype | None = None):
        classes = model.dataset_meta['classes']
        if len(classes) > MOST_CLASSES:
            raise UserError(f'the model has {len(classes)} classes, and a palette of PNG only {MOST_CLASSES} colours')
        self.model = model
        self.probabilities = probabilities
        self.dtype = dtype
        self.device = str(next(model.parameters()).device)
        self.channels = classes if model.out_channels > 1 else classes[1:]
        self.reader = PictureReader(model.cfg)
        # The EncoderDecoder of this package needs less memory without logits; mmseg's keeps them in any case.
        model.test_cfg['keep_logits'] = probabilities

    def __call__(self, picture: Picture | np.ndarray) -> Prediction:
        """A picture as ``reader.load`` gives it, or pixels as ``reader.from_array`` takes them -> its prediction.

        Raises:
            UserError: the network cannot take it: its size, its channels, its values, the memory.
        """
        if isinstance(picture, np.ndarray):
            picture = self.reader.from_array(picture)
        sample = self._sample(picture)
        labels = sample.pred_sem_seg.data[0].byte().cpu().numpy()
        return Prediction(labels, self._probabilities_of(sample) if self.probabilities else None)

    @torch.no_grad()
    def _sample(self, picture: Picture) -> SegDataSample:
        prepared = self.reader.prepare(picture)
        with naming_refusals(picture), autocast(self.device, self.dtype):
            return self.model.test_step({name: [prepared[name]] for name in ('inputs', 'data_samples')})[0]

    def _probabilities_of(self, sample: SegDataSample) -> np.ndarray:
        values = sample.seg_logits.data
        # mmseg has already applied the sigmoid where there is one channel.
        values = values.softmax(dim=0) if len(values) > 1 else values
        return values.half().cpu().numpy()
