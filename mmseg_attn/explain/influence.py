"""The exact influence of features on an output, for heads that have no map of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .place import Place
from .view import View, Window, checked, scores


class WindowInfluence:
    """The influence of the features at each place q on the output at a point p, in one window:

        I(p, q) = | d s_c(p) / d x(q) |

    ``s_c(p)`` is the score, before the softmax, of the class c that is predicted at p, at the pixel of the network's
    input that is nearest to p, with the interpolation to that size. ``x(q)`` are the features of the backbone that
    the head takes at q, and |.| is the Euclidean norm over their channels. So I(p, q) is the most that the score
    changes, to first order, when the features at q change by a vector of length one. One backward pass for each p.

    A head that takes several maps has q on the finest of them; ``x(q)`` are then the features of the cell that q lies
    in of each, and the norm goes over all of them.

    Raises:
        ValueError: the backbone's features are not maps, or the head does not depend on them differentiably.
    """

    kind = 'influence'

    def __init__(self, view: View, window: Window):
        self.view, self.window = view, window
        features = [_leaf(feature) for feature in window.features]
        self.leaves = [feature for feature in features if isinstance(feature, Tensor) and feature.requires_grad]
        self.scores = scores(view, window, features)
        if not self.scores.requires_grad:
            raise ValueError(f'the output of {type(view.head).__name__} does not depend differentiably on feature maps '
                             f'(B, C, H, W) of the backbone, so it has no influence map')
        used = [gradient is not None for gradient in self._gradients(0, 0, 0)]
        self.leaves = [leaf for leaf, is_used in zip(self.leaves, used, strict=True) if is_used]
        self.size = max((tuple(leaf.shape[2:]) for leaf in self.leaves), key=lambda size: size[0] * size[1])
        self.place: Place = window.place(*self.size)

    def maps(self, points: Tensor) -> Tensor:
        return checked(torch.stack([self._map(x, y) for x, y in points.tolist()]))

    def _map(self, x: float, y: float) -> Tensor:
        label = min(self.view.label_at(x, y), len(self.scores) - 1)  # a binary head has one score
        gradients = self._gradients(label, self.window.y.nearest(y), self.window.x.nearest(x))
        squares = sum(_enlarge(gradient[0].square().sum(dim=0), self.size) for gradient in gradients)
        return squares.sqrt().cpu()

    def _gradients(self, label: int, row: int, column: int) -> Sequence[Tensor | None]:
        return torch.autograd.grad(self.scores[label, row, column], self.leaves, retain_graph=True, allow_unused=True)


def _leaf(feature: object) -> object:
    is_map = isinstance(feature, Tensor) and feature.ndim == 4
    return feature.detach().requires_grad_() if is_map else feature


def _enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Each place of the larger map gets the value of the cell that its centre lies in."""
    rows, columns = (((torch.arange(new) + 0.5) * old / new).long()
                     for new, old in zip(size, values.shape, strict=True))
    return values[rows[:, None], columns]
