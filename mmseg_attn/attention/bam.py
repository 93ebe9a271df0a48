"""Bottleneck Attention Module (Park et al., BMVC 2018, https://arxiv.org/abs/1807.06514).

Official code: https://github.com/Jongchan/attention-module, MODELS/bam.py.

    y = x * (1 + sigmoid(c * s))      c = MLP(mean(x)), one value per channel      s = convs(x), one value per pixel

Differs from the official code:
- As released it cannot be constructed: it reads a name that is not defined.
- Its mean is over the left H x H square of a wide map, and fails on others. Here it is over all pixels, which is the
  same on square maps.
"""

from functools import partial

from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive

from .layers import ActLayer, NormLayer, check_pooled_batch, conv_norm_act, zero_init


class BAM(nn.Module):
    """Scales every value by a gate, the product of one logit per channel and one per pixel.

    Args:
        channels: channels of input and output.
        reduction: ``channels`` divided by the width of the hidden layers.
        num_layers: hidden layers of the MLP.
        num_convs: dilated 3 x 3 convolutions.
        dilation: of these.
        norm_layer: channels -> module, after every hidden layer; None for none.
        act_layer: () -> module, after every norm.
        identity_start: start as the identity, for a pretrained network: the factor is 2 sigmoid(.) of a product that
            starts at zero. The paper's is 1 + sigmoid(.), which starts near 3/2.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: in the forward, a BatchNorm in training meets a single image, whose mean leaves it one value per
            channel.
    """

    def __init__(self, channels: int, *, reduction: int = 16, num_layers: int = 1, num_convs: int = 2,
                 dilation: int = 4, norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer = nn.ReLU,
                 identity_start: bool = False):
        super().__init__()
        check_positive(reduction=reduction, num_layers=num_layers, num_convs=num_convs, dilation=dilation)
        hidden = max(channels // reduction, 1)
        conv = partial(conv_norm_act, bias=True, norm_layer=norm_layer, act_layer=act_layer)
        self.identity_start = identity_start
        widths = [channels] + num_layers * [hidden]
        self.channel_layers = nn.Sequential(*map(conv, widths, widths[1:]))
        self.channel_logit = nn.Conv2d(hidden, channels, 1)
        self.spatial_layers = nn.Sequential(
            conv(channels, hidden), *(conv(hidden, hidden, 3, dilation=dilation) for _ in range(num_convs)))
        self.spatial_logit = nn.Conv2d(hidden, 1, 1)
        if identity_start:
            zero_init(self.channel_logit)  # of one factor only: with both at zero neither would get a gradient

    def forward(self, x: Tensor) -> Tensor:
        check_pooled_batch(getattr(self.channel_layers[0], 'norm', None), x.shape[0])
        channel = self.channel_logit(self.channel_layers(x.mean(dim=(2, 3), keepdim=True)))
        gate = (channel * self.spatial_logit(self.spatial_layers(x))).sigmoid()
        return x * (2 * gate if self.identity_start else 1 + gate)

    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        raise NotImplementedError('BAM has no map over pixels: its gate scales every pixel by itself')
