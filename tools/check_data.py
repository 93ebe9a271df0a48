"""Runs mmseg_attn/cli/check_data.py."""

from mmseg_attn.cli import run_command

if __name__ == '__main__':
    run_command('check_data')
