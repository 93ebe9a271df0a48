"""The exact influence of features on an output, for heads that have no map of their own."""

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
        self.scores = scores(view, window, features)
        reached = _leaves_below(self.scores)
        self.leaves = [feature for feature in features if any(feature is leaf for leaf in reached)]
        if not self.leaves:
            raise ValueError(f'the output of {type(view.head).__name__} does not depend differentiably on feature maps '
                             f'(B, C, H, W) of the backbone, so it has no influence map')
        self.size = max((tuple(leaf.shape[2:]) for leaf in self.leaves), key=lambda size: size[0] * size[1])
        self.place: Place = window.place(*self.size)

    def maps(self, points: Tensor) -> Tensor:
        return checked(torch.stack([self._map(x, y) for x, y in points.tolist()]))

    def _map(self, x: float, y: float) -> Tensor:
        label = min(self.view.label_at(x, y), len(self.scores) - 1)  # a binary head has one score
        score = self.scores[label, self.window.y.nearest(y), self.window.x.nearest(x)]
        gradients = torch.autograd.grad(score, self.leaves, retain_graph=True, materialize_grads=True)
        squares = sum(_enlarge(gradient[0].square().sum(dim=0), self.size) for gradient in gradients)
        return squares.sqrt().cpu()


def _leaf(feature: object) -> object:
    is_map = isinstance(feature, Tensor) and feature.ndim == 4
    return feature.detach().requires_grad_() if is_map else feature


def _leaves_below(output: Tensor) -> list[Tensor]:
    """What an output is computed from, read off its graph: a backward pass would take as long as a map."""
    leaves, seen, pending = [], set(), [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            leaves.append(node.variable)
        pending += [below for below, _ in node.next_functions]
    return leaves


def _enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Each place of the larger map gets the value of the cell that its centre lies in."""
    rows, columns = (((torch.arange(new) + 0.5) * old / new).long()
                     for new, old in zip(size, values.shape, strict=True))
    return values[rows[:, None], columns]
