"""Expectation-Maximization Attention (EMANet, Li et al., ICCV 2019, https://arxiv.org/abs/1907.13426).

Official code: https://github.com/XiaLiPKU/EMANet, network.py and train.py.

    z_nk = softmax_k(x_n . mu_k)                      E step: which basis explains pixel n
    mu_k = l2norm(sum_n z_nk x_n / sum_n z_nk)        M step: basis k is the mean of its pixels
    y    = act(x0 + norm(W act(sum_k z_nk mu_k)))     with x = conv(x0)

The steps alternate ``num_stages`` times from a running average of all bases seen in training.

Shapes: B images, C channels, N = H W pixels, K bases.

Differs from the official code:
    - the running average is updated inside the forward, not by the training script;
    - under data parallelism it is averaged over all images of all ranks by one all-reduce.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive

from .layers import NormLayer, point_indices, set_inplace

EPS = 1e-6


def em_attention(x: Tensor, bases: Tensor, num_stages: int) -> tuple[Tensor, Tensor]:
    """Alternates E and M steps.

    Args:
        x: features (B, C, N).
        bases: where to start, (B or 1, C, K), each basis of unit length.
        num_stages: number of E and M steps, at least 1.

    Returns:
        The bases (B, C, K) after the last M step and the responsibilities (B, N, K) of the last E step.
    """
    for _ in range(num_stages):
        responsibilities = (x.transpose(1, 2) @ bases).softmax(dim=2)
        # Divided after the product: the same as normalize_over_pixels before it, with fewer operations.
        bases = l2_normalize((x @ responsibilities) / (EPS + responsibilities.sum(dim=1, keepdim=True)))
    return bases, responsibilities


def normalize_over_pixels(responsibilities: Tensor) -> Tensor:
    """(B, N, K) -> (B, N, K): how much of basis k comes from pixel n; sums to one over the pixels."""
    return responsibilities / (EPS + responsibilities.sum(dim=1, keepdim=True))


def l2_normalize(bases: Tensor) -> Tensor:
    return bases / (EPS + bases.norm(dim=1, keepdim=True))


def _inside_backward() -> bool:
    # Private, as all that tells of it. Without it a forward under activation checkpointing updates the bases twice.
    task = getattr(torch._C, '_current_graph_task_id', None)
    return task is not None and task() != -1


class ExpectationMaximizationAttention(nn.Module):
    """Rebuilds every pixel from ``num_bases`` bases that EM finds in its image.

    No gradient flows through EM: as in the official code, ``in_conv`` stays at its initialisation (so its parameters
    do not require a gradient) and the input learns through the identity alone.

    Args:
        channels: channels of input and output.
        num_bases: number of bases K.
        num_stages: EM iterations in every forward, in training and in evaluation.
        momentum: weight of the new bases in the running average (1 - EM_MOM of the official code).
        renormalize_bases: bring the mean of the new bases back to unit length before it enters the running average,
            as mmseg's EMAHead does. The official code does not.
        norm_layer: channels -> module, after ``out_conv``; None for a bias instead.
        act_layer: () -> module.

    Input and output are (B, channels, H, W). The buffer ``bases``, (1, channels, num_bases), is float32 (float64 in a
    double module, never half). It is updated in place, once per forward, only in training with gradients enabled, and
    is equal on all ranks from the first update on. Activation checkpointing is supported for one training forward per
    backward, and not (without ``use_reentrant``) around a block that is compiled by itself.

    Raises:
        ValueError: ``num_stages`` or ``num_bases`` is no positive integer, or ``momentum`` not between 0 and 1.
    """

    bases: Tensor

    def __init__(self, channels: int, *, num_bases: int = 64, num_stages: int = 3, momentum: float = 0.1,
                 renormalize_bases: bool = False, norm_layer: NormLayer | None = nn.BatchNorm2d,
                 act_layer: type[nn.Module] = nn.ReLU):
        super().__init__()
        check_positive(num_stages=num_stages, num_bases=num_bases)
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum must lie between 0 and 1, got {momentum!r}')
        self.num_stages = num_stages
        self.momentum = momentum
        self.renormalize_bases = renormalize_bases
        self.in_conv = nn.Conv2d(channels, channels, 1).requires_grad_(False)
        self.out_conv = nn.Conv2d(channels, channels, 1, bias=norm_layer is None)
        self.norm = norm_layer(channels) if norm_layer else nn.Identity()
        self.act = set_inplace(act_layer())
        self.register_buffer('bases', torch.empty(1, channels, num_bases))
        self._bases_before_forward: Tensor | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for conv in (self.in_conv, self.out_conv):
            nn.init.kaiming_normal_(conv.weight, mode='fan_out')
        nn.init.normal_(self.bases)
        self.bases.copy_(l2_normalize(self.bases))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.norm(self.out_conv(self.act(self._reconstruct(x)))))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights with which the reconstruction at each point sums the pixels of ``in_conv(x)``.

        A point draws on a pixel as far as the bases both belong to say so: ``sum_k z_pk share_qk / |mu_k|``.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Rows need not sum to one, since the bases have unit length.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        features = self._em_input(x)
        with no_autocast(x):
            _, responsibilities = em_attention(features, self.bases.to(features.dtype), self.num_stages)
            share = normalize_over_pixels(responsibilities)
            length = EPS + (features @ share).norm(dim=1, keepdim=True)
            weights = responsibilities[:, index] @ (share / length).transpose(1, 2)
        return weights.unflatten(2, (height, width))

    def _reconstruct(self, x: Tensor) -> Tensor:
        update = self.training and torch.is_grad_enabled()
        features = self._em_input(x)
        with torch.no_grad(), no_autocast(x):
            start, recomputing = self._start_bases(update)
            bases, responsibilities = em_attention(features, start.to(features.dtype), self.num_stages)
            if update and not recomputing:
                self._update_bases(bases)
            return (bases @ responsibilities.transpose(1, 2)).unflatten(2, x.shape[-2:]).to(x.dtype)

    @torch.no_grad()
    def _em_input(self, x: Tensor) -> Tensor:
        features = self.in_conv(x).flatten(2)
        # EM loses the bases in half precision: the shares are of the order 1 / N.
        return features.to(torch.promote_types(features.dtype, self.bases.dtype))

    def _start_bases(self, update: bool) -> tuple[Tensor, bool]:
        """Where EM starts, and whether this forward repeats one that has updated the bases already.

        Activation checkpointing runs a forward again inside the backward. The repetition must start from the bases
        that the first run started from, and must not update them a second time. The reentrant kind runs the first
        time without gradients, hence without an update; then the repetition is the one that updates.
        """
        if torch.compiler.is_compiling():
            return self.bases, False
        if not _inside_backward():
            if self.training:
                self._bases_before_forward = self.bases.clone() if update else None
        elif self._bases_before_forward is not None:
            return self._bases_before_forward, True
        return self.bases, False

    def _update_bases(self, bases: Tensor) -> None:
        new = bases.mean(dim=0, keepdim=True)
        old = self.bases
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            # The old bases are averaged too, so that ranks which started apart agree from here on.
            count = torch.full_like(new, len(bases))
            pooled = torch.stack([new * count, old.to(new.dtype) * count, count])
            dist.all_reduce(pooled)
            new, old = pooled[:2] / pooled[2]
        if self.renormalize_bases:
            new = l2_normalize(new)
        self.bases.copy_((1 - self.momentum) * old + self.momentum * new)

    def _apply(self, fn, recurse=True):
        bases = self.bases
        super()._apply(fn, recurse)
        if self.bases.dtype in (torch.float16, torch.bfloat16):
            # Half precision cannot hold a running average: a step is smaller than its spacing.
            self.bases = bases.to(self.bases.device)
        return self
