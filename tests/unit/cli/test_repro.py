"""What `farm repro` says of a patch."""

import json

from click.testing import CliRunner

from farm.cli.repro import command
from farm.host.workdir import data_directory

PATCH = str(data_directory("testcases") / "mutants/dm-crypt-read-asks-for-writes.patch")


def test_who_caught_a_bug_there_is_proposed_with_its_parameters_and_flavor():
    said = CliRunner().invoke(command, [PATCH]).output
    first = said[said.index("\n1. "):said.index("\n2. ")]
    assert "in drivers/md/dm-crypt.c" in said
    assert "test_inline[generic-512-no_read_workqueue]" in first
    assert "caught in it dm-crypt-read-asks-for-writes" in first
    assert "--flavor=debug" in first


def test_json_has_what_a_patch_changes_and_why_each_is_proposed():
    said = json.loads(CliRunner().invoke(command, [PATCH, "--json"]).output)
    assert said["changes"]["files"] == ["drivers/md/dm-crypt.c"]
    assert said["proposals"][0]["standing"]["caught"] == ["dm-crypt-read-asks-for-writes"]
