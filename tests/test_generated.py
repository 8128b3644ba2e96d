"""The sync client is what its generator makes of the async sources of today."""

from aihub_sync._generate import main


def test_the_generated_files_are_up_to_date(capsys) -> None:
    code = main(["--check"])
    assert code == 0, capsys.readouterr().err
