"""Symbolic graph reasoning (SGR, Liang et al., NeurIPS 2018,
https://papers.nips.cc/paper/7456-symbolic-graph-reasoning-meets-convolutions).

No official code. Consulted: https://github.com/Gaoyiminggithub/Graphonomy, networks/gcn.py, the later code of one of
the authors.

    a_i = softmax_n(W^a x_i)                         how pixel i shares its vote among the nodes
    H_n = sum_i a_in W^ps x_i / N                    what is voted for a node
    G   = relu(A~ [relu(H), S] W^g)                  messages along a given graph; S are embeddings of the nodes' names
    b_i = softmax_n(G_n^T W^s x_i)                   which nodes suit pixel i
    y_i = x_i + relu(sum_n b_in W^sp G_n)

with A~ = D^-1/2 (A + I) D^-1/2.

Shapes: B images, C channels, N = H W pixels, M nodes, D state channels, K embedding channels.

Differs from the paper, and by an argument equals it:
    - ``compat``: W^s is bilinear. That of the paper gives all pixels the same mixture of nodes;
    - ``normalize``: H is divided by N, without which it grows with the image.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive, check_shape
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, point_indices

COMPATS = 'bilinear', 'additive'
Matrix = Tensor | Sequence[Sequence[float]] | str | Path


def normalize_adjacency(adjacency: Tensor) -> Tensor:
    """``D^-1/2 (A + I) D^-1/2`` of A (M, M) without negative weights, where D are the sums of the rows of A + I."""
    looped = adjacency + torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    scale = looped.sum(dim=1).rsqrt()
    return scale[:, None] * looped * scale


def collect_votes(pixels: Tensor, logits: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
    """Pixels (B, C, N), logits (B, M, N) -> sums of the pixels (B, M, C), and with which weights (B, M, N)."""
    votes = logits.softmax(dim=1)
    if normalize:
        votes = votes / logits.shape[2]
    return votes @ pixels.transpose(1, 2), votes


def evolve(nodes: Tensor, adjacency: Tensor, layers: Sequence[Tensor], embeddings: Tensor | None = None,
           act: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Graph convolutions.

    Args:
        nodes: H (B, M, D).
        adjacency: A~ (M, M).
        layers: W^g of each convolution, (D, D + K) of the first and (D, D) of the others.
        embeddings: S (M, K), beside the nodes in the first convolution; None for none.
        act: before the first convolution, and after each.

    Returns:
        (B, M, D).
    """
    nodes = act(nodes)
    if embeddings is not None:
        nodes = torch.cat([nodes, embeddings.expand(nodes.shape[0], -1, -1)], dim=2)
    for layer in layers:
        nodes = act(adjacency @ (nodes @ layer.T))
    return nodes


def mix_nodes(pixels: Tensor, nodes: Tensor, weight: Tensor, compat: str) -> Tensor:
    """Softmax over the nodes of how they suit each pixel.

    Args:
        pixels: (B, C, N).
        nodes: (B, M, D).
        weight: W^s, (D, C) if 'bilinear', (1, D) if 'additive'.
        compat: one of ``COMPATS``.

    Returns:
        (B, M, N); (B, M, 1) if 'additive', the same for all pixels.
    """
    if compat == 'additive':
        # W^s [G_n, x_i] is a sum of what n adds and what i adds, and the softmax over n does not feel the latter.
        return (nodes @ weight.T).softmax(dim=1)
    return (nodes @ weight @ pixels).softmax(dim=1)


class SymbolicGraphReasoning(nn.Module):
    """Pixels vote for named concepts, which reason along a given graph, and take a mixture of them back.

    Args:
        channels: channels of input and output.
        num_nodes: number M of concepts; needed only where neither ``adjacency`` nor ``embeddings`` tells it.
        adjacency: the graph, (M, M), 0 for no edge and a weight above 0 for one; without self-loops, which are added.
            A tensor, nested lists, or a file that ``torch.save`` (.pt) or ``numpy.save`` (.npy) wrote. None for no
            edges: a node hears itself alone.
        embeddings: a vector for the name of each concept, (M, K), as ``adjacency``; fixed. The paper has those of
            fastText. None to learn them.
        embedding_channels: width K of those that are learned; 0 for none, as in Graphonomy.
        state_channels: width D of a node's state; ``channels`` when not given.
        num_layers: graph convolutions; Graphonomy has 3.
        compat: how a node suits a pixel. 'bilinear', or 'additive' as in the paper and in Graphonomy: its softmax
            cancels what the pixel adds, so that **all pixels get the same mixture**, and every pixel of an image adds
            one and the same vector. The weights of the paper's W^s for the pixel have no effect and are left out.
        normalize: divide what is voted by the number of pixels. The paper does not: its values grow with the image, and
            float16 may not hold them.
        act_layer: () -> module, for nodes, convolutions and the mixture; None for none.
        zero_init: start as the identity, by a learned scale ``gamma`` of what is added, which starts at zero. (A zero
            W^sp would stay zero, behind the ReLU.)

    Input and output are (B, channels, H, W). The buffer ``adjacency`` holds A~, and ``embeddings`` is a buffer where it
    is given: both are stored with the weights.

    Raises:
        ValueError: a number is below 1; an unknown ``compat``; ``adjacency`` or ``embeddings`` cannot be read, is no
            finite matrix, has not M rows, or has a negative edge; nothing tells M.
    """

    adjacency: Tensor

    def __init__(self, channels: int, *, num_nodes: int | None = None, adjacency: Matrix | None = None,
                 embeddings: Matrix | None = None, embedding_channels: int = 300, state_channels: int | None = None,
                 num_layers: int = 1, compat: str = 'bilinear', normalize: bool = True,
                 act_layer: ActLayer | None = nn.ReLU, zero_init: bool = False):
        super().__init__()
        check_positive(num_nodes=num_nodes, embedding_channels=embedding_channels or None,
                       state_channels=state_channels, num_layers=num_layers)
        if compat not in COMPATS:
            raise ValueError(f'compat must be one of {", ".join(COMPATS)}, got {compat!r}')
        graph = None if adjacency is None else _read_matrix('adjacency', adjacency)
        symbols = None if embeddings is None else _read_matrix('embeddings', embeddings)
        self.num_nodes = num_nodes = num_nodes or _num_rows(graph, symbols)
        self.compat = compat
        self.normalize = normalize
        self.register_buffer('adjacency', _graph_or_identity(graph, num_nodes))
        self._add_embeddings(symbols, embedding_channels)
        width, symbol_width = state_channels or channels, 0 if self.embeddings is None else self.embeddings.shape[1]
        self.vote = nn.Conv2d(channels, num_nodes, 1, bias=False)
        self.state = nn.Linear(channels, width, bias=False)
        self.layers: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            nn.Linear(width if i else width + symbol_width, width, bias=False) for i in range(num_layers))
        self.mix = nn.Linear(*((channels, width) if compat == 'bilinear' else (width, 1)), bias=False)
        self.out = nn.Linear(width, channels, bias=False)
        self.act = act_layer() if act_layer else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(1)) if zero_init else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for weight in (self.vote.weight, self.state.weight, *(layer.weight for layer in self.layers), self.mix.weight,
                       self.out.weight):
            nn.init.xavier_uniform_(weight)
        if isinstance(self.embeddings, nn.Parameter):
            nn.init.normal_(self.embeddings, std=self.embeddings.shape[1]**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.vote(x).flatten(2)
        with no_autocast(x):
            pixels = float_or_better(x.flatten(2))
            nodes, _ = self._nodes(pixels, logits)
            mixing = mix_nodes(pixels, nodes, float_or_better(self.mix.weight), self.compat)
            context = (nodes @ float_or_better(self.out.weight).T).transpose(1, 2) @ mixing
        size = x.shape[-2:] if self.compat == 'bilinear' else (1, 1)
        context = self.act(context).to(x.dtype).unflatten(2, size)
        return x + context if self.gamma is None else torch.addcmul(x, self.gamma, context)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``sum_nm b_pn (A~^L)_nm a_jm / N`` with which each point draws on the states W^ps x_j of the pixels.

        A point draws on a pixel as far as the nodes that suit it hear, over ``num_layers`` L, of those that the pixel
        votes for. This is the linear path through the graph: left out are the activations, of which the inner ones work
        on sums over all pixels, the embeddings, which no pixel adds, and ``gamma``. With ``act_layer=None``, or where
        no activation meets what is negative, what a point receives is exactly the sum of the pixels' states with these
        weights, under the product of all W, and what the embeddings add. With ``compat='additive'`` all points have the
        same map.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better, none negative. The weights need not sum to one.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        logits = self.vote(x).flatten(2)
        with no_autocast(x):
            pixels = float_or_better(x.flatten(2))
            nodes, votes = self._nodes(pixels, logits)
            mixing = mix_nodes(pixels[:, :, index], nodes, float_or_better(self.mix.weight), self.compat)
            heard = mixing.expand(-1, -1, len(index)).transpose(1, 2)
            for _ in self.layers:
                heard = heard @ float_or_better(self.adjacency)
            return (heard @ votes).unflatten(2, (height, width))

    def _nodes(self, pixels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The states of the nodes after the graph convolutions, and the votes."""
        sums, votes = collect_votes(pixels, float_or_better(logits), self.normalize)
        nodes = sums @ float_or_better(self.state.weight).T
        embeddings = None if self.embeddings is None else float_or_better(self.embeddings)
        layers = [float_or_better(layer.weight) for layer in self.layers]
        return evolve(nodes, float_or_better(self.adjacency), layers, embeddings, self.act), votes

    def _add_embeddings(self, given: Tensor | None, channels: int) -> None:
        self.embeddings: Tensor | None
        if given is not None:
            check_shape('embeddings', given, self.num_nodes, None)
            self.register_buffer('embeddings', given.to(_default_device()))
        elif channels:
            self.embeddings = nn.Parameter(torch.empty(self.num_nodes, channels))
        else:
            self.embeddings = None


def _num_rows(*matrices: Tensor | None) -> int:
    for matrix in matrices:
        if matrix is not None:
            return len(matrix)
    raise ValueError('num_nodes must be given where neither adjacency nor embeddings are')


def _graph_or_identity(given: Tensor | None, num_nodes: int) -> Tensor:
    if given is None:
        return torch.eye(num_nodes)
    check_shape('adjacency', given, num_nodes, num_nodes)
    if (given < 0).any():
        raise ValueError(f'adjacency must have no negative weight, got {given.min().item()}')
    return normalize_adjacency(given).to(_default_device())


def _default_device() -> torch.device:
    # torch.get_default_device() of PyTorch 2.6 does not know of ``with torch.device('meta')``.
    return torch.empty(0).device


def _read_matrix(name: str, given: Matrix) -> Tensor:
    """A finite matrix in float32, on the CPU also where the default device has no numbers to check."""
    content = _read_file(name, Path(given)) if isinstance(given, str | Path) else given
    try:
        matrix = torch.as_tensor(content, dtype=torch.float32, device='cpu')
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'{name} must be a matrix of numbers, got {_describe(given)}: {error}') from error
    if matrix.ndim != 2 or not matrix.numel():
        raise ValueError(f'{name} must be a matrix, got {_describe(given)} of shape {tuple(matrix.shape)}')
    if not matrix.isfinite().all():
        raise ValueError(f'{name} must be finite, got {_describe(given)} with values that are not')
    # Not the caller's own, into which a checkpoint would be loaded.
    return matrix.detach().clone()


def _read_file(name: str, path: Path) -> object:
    path = path.expanduser()
    if not path.is_file():
        raise ValueError(f'{name}: there is no file {path}')
    try:
        if path.suffix == '.npy':
            return np.load(path, allow_pickle=False)
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # damaged files raise anything, from KeyError to OverflowError
        raise ValueError(f'{name}: {path} is no matrix that torch.save (.pt) or numpy.save (.npy) wrote, or is damaged '
                         f'({type(error).__name__})') from error


def _describe(given: Matrix) -> str:
    return str(given) if isinstance(given, str | Path) else f'a {type(given).__name__}'
