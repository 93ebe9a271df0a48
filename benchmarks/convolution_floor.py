"""How much of a head's time its convolutions take, which no attention can go below: forward and backward.

    OMP_NUM_THREADS=2 python -m benchmarks.convolution_floor --methods emanet danet

The convolutions alone, on inputs of the shapes that they get in the head, beside the whole head, in turns.
"""

import argparse

import torch
from torch import Tensor, nn

from mmseg_attn.benchmark.cases import Case, build_head, head_config
from mmseg_attn.benchmark.timing import interleaved_times, quartiles, ratio

CPU = torch.device('cpu')


class Head:
    """A head in training."""

    def __init__(self, case: Case, inputs: list[Tensor]):
        self.case, self.inputs = case.train(), [x.requires_grad_() for x in inputs]
        with torch.no_grad():
            self.gradients = [torch.randn_like(out) for out in case(*inputs)]

    def prepare(self) -> None:
        self.case.zero_grad(set_to_none=True)
        for x in self.inputs:
            x.grad = None

    def __call__(self) -> None:
        torch.autograd.backward(self.case(*self.inputs), self.gradients)


class Convolutions:
    """Its convolutions, one after the other."""

    def __init__(self, case: Case, inputs: list[Tensor]):
        self.calls: list[tuple[nn.Conv2d, Tensor, Tensor]] = []
        hooks = [m.register_forward_hook(self._note) for m in case.modules() if isinstance(m, nn.Conv2d)]
        with torch.no_grad():
            case.train()(*inputs)
        for hook in hooks:
            hook.remove()

    def _note(self, conv: nn.Conv2d, args: tuple[Tensor], out: Tensor) -> None:
        self.calls.append((conv, torch.randn_like(args[0]).requires_grad_(), torch.randn_like(out)))

    def prepare(self) -> None:
        for conv, x, _ in self.calls:
            conv.zero_grad(set_to_none=True)
            x.grad = None

    def __call__(self) -> None:
        for conv, x, gradient in self.calls:
            conv(x).backward(gradient)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--methods', nargs='+', default=['emanet', 'danet'], metavar='METHOD')
    parser.add_argument('--size', default='64x64', help='height x width of the features')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--runs', type=int, default=5)
    args = parser.parse_args()
    print('| head | whole, s | its convolutions alone, s | share |')
    print('| --- ' * 4 + '|')
    for method in args.methods:
        torch.manual_seed(0)
        case = Case(build_head(head_config(method)))
        inputs = case.inputs(args.batch, tuple(int(side) for side in args.size.split('x')))
        steps = {'convolutions': Convolutions(case, inputs), 'head': Head(case, inputs)}
        for step in steps.values():
            step.prepare()
            step()
        times = interleaved_times(steps, args.runs, CPU)
        whole, alone = (quartiles(times[name])[1] / 1e3 for name in ('head', 'convolutions'))
        share = ratio(times['convolutions'], times['head'])
        print(f'| {method} | {whole:.2f} | {alone:.2f} | {share:.2f} |', flush=True)


if __name__ == '__main__':
    main()
