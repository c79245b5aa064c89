"""Runs ASAM's own checkers over files: what the environment `.asamqc` is for. Prints one line of JSON a file.

.asamqc/bin/python check.py FILES…
"""

import json
import logging
import sys


def checked(path):
    """Return what the checkers say of a file: issues, and how many checks were completed and skipped."""
    if path.endswith(".xosc"):
        from qc_openscenario import constants, main  # noqa: PLC0415
    else:
        from qc_opendrive import constants, main  # noqa: PLC0415
    from qc_baselib import Configuration, Result, StatusType  # noqa: PLC0415

    config, result = Configuration(), Result()
    config.set_config_param("InputFile", path)
    result.register_checker_bundle(
        name=constants.BUNDLE_NAME, description="", version=constants.BUNDLE_VERSION, summary=""
    )
    main.run_checks(config, result)
    checkers = result.get_checker_ids(constants.BUNDLE_NAME)
    states = [result.get_checker_status(one) for one in checkers]
    issues = [
        f"{one}: {issue.description}" for one in checkers for issue in result.get_issues(constants.BUNDLE_NAME, one)
    ]
    return {
        "issues": issues,
        "completed": states.count(StatusType.COMPLETED),
        "skipped": states.count(StatusType.SKIPPED),
        "failed": states.count(StatusType.ERROR),
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    for name in sys.argv[1:]:
        print(json.dumps(checked(name)), flush=True)
