"""Checks what the runner loads before it is in the model. mmengine would only warn, and train or evaluate on."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_attn.checkpoints.fit import OTHER_WEIGHTS, check_some_weights, check_values, check_weights
from mmseg_attn.checkpoints.reading import unwrap
from mmseg_attn.common.errors import UserError

from .checkpoint_files import check_state
from .wrapping import unwrapped

AUXILIARY = 'auxiliary_head.'
PURPOSES = 'test', 'resume', 'start'
HINTS = dict(
    resume='Resume with the config of that training, or start a new one from the weights that fit: --cfg-options '
           'load_from=FILE',
    test=OTHER_WEIGHTS)


def name_errors_of_loading(runner: Runner, what: str) -> None:
    """Whatever mmengine comes across when it takes the state of a training from a file gets a message.

    Raises:
        UserError: by ``runner.train()``; the state cannot be taken.
    """
    load = runner.load_or_resume

    def load_or_explain() -> None:
        try:
            load()
        except UserError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError) as error:
            raise UserError(f'{what}: the state of the training in it does not fit, or is damaged '
                            f'({type(error).__name__}: {error})') from error
    runner.load_or_resume = load_or_explain


class CheckLoadedWeightsHook(Hook):
    """Compares the weights of a checkpoint with those of the model when the runner has read it.

    Args:
        what: the file, for the messages.
        purpose: 'test': all weights must fit; those of an auxiliary head, which predicts nothing, may be missing or
            left over. 'resume': all weights must fit, and the state of the training must be there. 'start': some
            weights must fit; one line says which.

    Raises:
        UserError: the weights do not fit, or are not finite.
    """

    def __init__(self, what: str, purpose: str):
        assert purpose in PURPOSES
        self.what = what
        self.purpose = purpose

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        weights, _ = unwrap(checkpoint, self.what)
        expected = unwrapped(runner.model).state_dict()
        if self.purpose == 'resume':
            check_state(checkpoint, self.what)
            self._compare_state(runner, checkpoint)
        if self.purpose == 'start':
            runner.logger.info(check_some_weights(weights, expected, self.what))
        else:
            left_out = AUXILIARY if self.purpose == 'test' else ()
            check_weights(*({name: value for name, value in each.items() if not name.startswith(left_out)}
                            for each in (weights, expected)), self.what, HINTS[self.purpose])
        check_values(weights, expected, self.what)
        if weights.keys() != (checkpoint.get('state_dict') or {}).keys():
            checkpoint['state_dict'] = weights

    def _compare_state(self, runner: Runner, checkpoint: dict) -> None:
        """Compares the settings in the states of the optimizer and of the schedules with those of the config's."""
        theirs = checkpoint['optimizer'].get('param_groups')
        ours = runner.optim_wrapper.state_dict().get('param_groups')
        same = ours is None or (_are_of_one_kind(theirs, ours) and all(
            len(a.get('params', ())) == len(b['params']) for a, b in zip(theirs, ours, strict=True)))
        if same and isinstance(runner.param_schedulers, list):
            schedules = [schedule.state_dict() for schedule in runner.param_schedulers]
            same = _are_of_one_kind(checkpoint.get('param_schedulers'), schedules)
        if not same:
            raise UserError(f'{self.what}: its optimizer or its schedules are not those of the config, so the training '
                            'cannot be resumed.\n  Resume with the config of that training, or start a new one from '
                            f'the weights: --cfg-options load_from={self.what}')


def _are_of_one_kind(theirs: object, ours: list[dict]) -> bool:
    """Whether the states have the same settings, of which other releases of PyTorch may have more or fewer."""
    if not isinstance(theirs, list) or len(theirs) != len(ours):
        return False
    return all(isinstance(a, dict) and (a.keys() <= b.keys() or a.keys() >= b.keys())
               for a, b in zip(theirs, ours, strict=True))
