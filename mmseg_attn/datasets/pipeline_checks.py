"""Whether the steps of the pipelines can be built, and stand in an order that works."""

from mmseg_attn.common.loading_steps import build_step, class_of_step, is_own, name_of_step

from .wrappers import inside_of, metainfo_of

RESIZING = 'Resize', 'RandomResize', 'ResizeShortestEdge', 'ResizeToMultiple', 'RandomChoiceResize'


def check_steps(dataset: dict, where: str) -> None:
    """Builds each step of a data set, and of those inside of it.

    Raises:
        UserError: there is no such step, its settings do not fit it, or what it needs is not installed.
    """
    for step in dataset.get('pipeline') or []:
        if isinstance(step, dict):
            build_step(step, f'the pipeline of {where}')
    for place, inner in inside_of(dataset, where):
        check_steps(inner, place)


def problem_of_steps(dataset: dict, loader: str) -> tuple[str, str] | None:
    """What is wrong with the order of the steps by which labels are read; {where} is the place of the data set."""
    pipeline = [step for step in dataset.get('pipeline') or [] if isinstance(step, dict)]
    steps = list(map(name_of_step, pipeline))
    if not steps or steps[-1] != 'PackSegInputs' or any(map(is_own, map(class_of_step, pipeline))):
        return None
    if 'LoadAnnotations' not in steps:
        return ('no step of {where}.pipeline loads labels' if loader == 'train_dataloader' else
                'no step of {where}.pipeline loads labels, which are needed to evaluate',
                'Add LoadAnnotations' + ('' if loader == 'train_dataloader' else
                                         '; unlabelled images are predicted by mmseg-attn infer'))
    resized = [name for name in steps[steps.index('LoadAnnotations'):] if name in RESIZING]
    if loader != 'train_dataloader' and resized:
        return (f'{resized[0]} stands behind LoadAnnotations in {{where}}.pipeline, where it resizes the labels',
                'Predictions have the size of the original images, and so must the labels: LoadAnnotations behind it')
    return None


def problem_of_zero(dataset: dict) -> tuple[str, str] | None:
    """Where LoadAnnotations and its data set disagree, which mmseg refuses; {where} is the place of the data set."""
    wanted = (metainfo_of(dataset) or {}).get('reduce_zero_label')
    told = [step['reduce_zero_label'] for step in dataset.get('pipeline') or []
            if isinstance(step, dict) and name_of_step(step) == 'LoadAnnotations'
            and step.get('reduce_zero_label') is not None]
    if wanted is None or all(value == wanted for value in told):
        return None
    return (f'reduce_zero_label={not wanted} in LoadAnnotations, and {wanted} in the data set',
            'Set it in one place: {where}.reduce_zero_label')
