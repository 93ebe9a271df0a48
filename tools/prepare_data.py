"""Runs mmseg_attn/cli/prepare_data.py."""

from mmseg_attn.cli import run_command

if __name__ == '__main__':
    run_command('prepare_data')
