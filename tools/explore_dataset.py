"""Runs mmseg_attn/cli/explore_dataset.py."""

from mmseg_attn.cli import run_command

if __name__ == '__main__':
    run_command('explore_dataset')
