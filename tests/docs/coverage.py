"""How each command and each block of Python in the documentation is tried.

A command that no rule fits makes the tests fail. So do this for a new one: if it can run in seconds on a CPU, let a
rule say RUN; otherwise name the test that runs it; only what needs a GPU, the network or a cluster is PARSED.
"""

import re

from .pages import Block, Command

RUN = 'run as it stands, on small data and with small networks, by test_commands.py'
PARSED = 'its arguments and files are looked at; it needs a GPU, the network or a cluster'
SHOWN = 'compiled; it is a part of a file of the reader'

# The first pattern that is found in the command counts.
COMMANDS = (
    (r' --amp\b', PARSED),
    (r' --device cuda\b', PARSED),
    (r'\bpip install ', PARSED),
    (r'\bbash benchmarks/gpu/run\.sh\b|^python -m benchmarks\.gpu\.',
     'tests/benchmark/test_gpu_run.py::test_every_program_takes_its_arguments'),
    (r'^(git clone|make|source|pre-commit|python -m venv) ', PARSED),
    (r'^bash \.ci/run$', PARSED),
    (r'^pytest( -n auto)?$', PARSED),  # this very test is one of them
    (r'^NNODES=.* bash tools/dist_train\.sh ', 'tests/tools/test_distributed.py::test_two_nodes_on_the_loopback'),
    (r'^MAX_RESTARTS=.* bash tools/dist_train\.sh ',
     'tests/tools/test_interrupted.py::test_restarts_after_a_process_is_killed'),
    (r'^REQUEUE=.* bash tools/slurm_train\.sh ',
     'tests/tools/test_interrupted.py::test_slurm_queues_again_before_its_limit'),
    (r'\bbash tools/slurm_(train|test)\.sh ',
     'tests/tools/test_distributed.py::test_slurm_scripts_with_a_stand_in_for_srun'),
    (r'\bbash tools/dist_(train|test)\.sh ', RUN),
    (r'^python tools/prepare_data\.py voc', 'tests/tools/test_prepare_data.py::test_the_command_says_what_to_do_next'),
    (r'^python tools/prepare_data\.py cityscapes', 'tests/tools/test_prepare_data.py::test_cityscapes'),
    (r'^python tools/prepare_data\.py camvid', 'tests/tools/test_prepare_data.py::test_camvid_from_a_folder'),
    (r'^python tools/prepare_data\.py ade20k', 'tests/tools/test_prepare_data.py::test_ade20k_from_an_archive'),
    (r'^python tools/prepare_data\.py (labelme|coco|cvat) F',
     'tests/tools/test_prepare_annotations.py::test_all_formats_give_the_same'),
    (r'^python tools/prepare_data\.py coco train',
     'tests/tools/test_prepare_annotations.py::test_files_of_coco_for_training_and_validation'),
    (r'^python tools/\w+\.py (labelme annotated|mine\.py)',
     'tests/tools/test_prepare_annotations.py::test_from_a_folder_of_labelme_to_miou'),
    (r'^python tools/convert_checkpoint\.py dinov2_',
     'tests/checkpoints/test_vit.py::test_the_command_writes_what_a_training_loads'),
    (r'^python tools/train\.py configs/emanet_swin_t_cityscapes\.py',
     'tests/tools/test_backbones.py::test_from_a_training_to_an_exported_file'),
    (r'^python tools/(convert_checkpoint\.py|test\.py danet\.py|train\.py .* load_from=psanet\.pth)',
     'tests/tools/test_convert_checkpoint.py::test_a_checkpoint_of_mmsegs_runner'),
    (r'^python tools/compare\.py',
     'tests/tools/test_compare.py::test_a_report_of_heads_and_seeds_that_goes_on_where_it_stopped'),
    (r'^python tools/benchmark\.py', 'tests/tools/test_benchmark.py::test_as_a_command'),
    (r'^python tools/\w+\.py', RUN),
    (r'^mmseg-attn (--help|configs)', 'tests/cli/test_cli.py'),
    (r'^mmseg-attn convert_checkpoint ',
     'tests/tools/test_convert_checkpoint.py::test_files_that_need_code_and_files_of_safetensors'),
    (r'^mmseg-attn train ', 'tests/tools/test_packaging.py::test_the_wheel_works_on_its_own'),
    (r'\bpython -m benchmarks\.checkpoint_exactness$',
     'tests/checkpoints/test_official.py::test_logits_are_the_official_ones'),  # the same networks
    (r'^python -m tests\.faults\.kills ', 'tests/faults/test_kills.py::test_nothing_is_lost'),
    (r'\bpython -m benchmarks\.regressions\b',
     'tests/benchmark/test_regressions.py::test_what_is_stored_is_compared_with'),
    (r'\bpython -m benchmarks\.scaling$', 'tests/benchmark/test_scaling.py::test_what_is_counted'),
    (r'\bpython -m benchmarks\.(networks|convolution_floor)\b',
     'tests/benchmark/test_whole_networks.py::test_the_programs_measure'),
    (r'^python tests/ops/triton/resources\.py ',
     'tests/ops/triton/test_resources.py::test_kernels_fit_and_hardly_spill'),
    (r'\bpython (-m benchmarks\.|benchmarks/)\w+', RUN),
    (r'\bpython (-c|-m timeit) ', RUN),
    (r'^python -m pytest tests/export/test_files\.py$', 'tests/export/test_files.py::test_every_head'),
    (r'^pytest tests/(attention|models/heads) -k ',
     'tests/docs/test_adding_a_method.py::test_the_batteries_take_block_and_head'),
    (r'^pytest ', RUN),
    (r'^ruff check --fix \.$|^python docs/generate\.py', 'tests/docs/test_adding_a_method.py::test_what_it_takes'),
)

# Page -> number of the block -> how. Where nothing is said, a config is loaded and anything else executed.
PYTHON = {
    'docs/adding_a_method.md': {11: SHOWN},
    'docs/checkpoints.md': {0: 'tests/checkpoints/test_conversion.py::test_what_is_written'},
    'docs/data_preparation.md': dict.fromkeys(range(3), 'tests/tools/test_data_documentation.py::test_mending'),
    'docs/export.md': {0: 'tests/export/test_documentation.py::test_onnxruntime_alone',
                       1: 'tests/export/test_documentation.py::test_torch_alone'},
    'docs/inference.md': {0: 'tests/inference/test_inferencer.py::test_the_program_of_the_page'},
    'docs/methods/carafe.md': {0: SHOWN},
}


def how_command(command: Command) -> str | None:
    return next((how for pattern, how in COMMANDS if re.search(pattern, str(command))), None)


def how_block(block: Block) -> str | None:
    return PYTHON.get(block.page, {}).get(block.number)
