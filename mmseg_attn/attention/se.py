"""Squeeze-and-Excitation (Hu, Shen and Sun, CVPR 2018, https://arxiv.org/abs/1709.01507).

Official code: https://github.com/hujie-frank/SENet, models/SE-ResNet-50.prototxt (Caffe).

    y = x * g      g = sigmoid(W2 relu(W1 mean(x) + b1) + b2)

The mean is over all pixels: g has one value per image and channel.

Differs from the official code: none.
"""

from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive

from .layers import ActLayer, set_inplace, zero_init


class SE(nn.Module):
    """Scales every channel by a gate that the means of all channels decide.

    Args:
        channels: channels of input and output.
        reduction: ``channels`` divided by the width of the hidden layer.
        divisor: the width of the hidden layer is rounded to a multiple of it (8 in timm); None for rounding down to an
            integer.
        bias: of both layers. The official code has it, moskomule/senet.pytorch has not.
        act_layer: () -> module, between the two layers.
        identity_start: start as the identity: the gate is 2 sigmoid(.) of a last layer that starts at zero. It is not
            the paper's, whose gates start near 1/2 and so halve the residual branches of a pretrained network.

    Input and output are (B, channels, H, W). The mean is over all pixels of the input, so the gate of a crop differs
    from that of the whole image.
    """

    def __init__(self, channels: int, *, reduction: int = 16, divisor: int | None = None, bias: bool = True,
                 act_layer: ActLayer = nn.ReLU, identity_start: bool = False):
        super().__init__()
        check_positive(reduction=reduction, divisor=divisor)
        hidden = max(channels // reduction, 1)
        if divisor is not None:
            hidden = max(int(channels / reduction + divisor / 2) // divisor * divisor, divisor)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.act = set_inplace(act_layer())
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.gate_scale = 2 if identity_start else 1
        if identity_start:
            zero_init(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.fc2(self.act(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        return x * (self.gate_scale * logits.sigmoid())

    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        raise NotImplementedError('SE has no map over pixels: its gate has one value per channel, for all pixels')
