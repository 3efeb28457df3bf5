#!/bin/bash
# Jobs over TCP, and what goes away under the mount.
# limit 300
# shellcheck source=tests/t/remote_cases.sh
. "${TOP:?}/tests/t/remote_cases.sh"
remote_cases 0554-jobs-input 0554-tree-settling 0555-jobs-terminal \
    0556-jobs-kept 0557-jobs-restart 0558-jobs-poll 0560-tree-restart \
    0586-oom 0615-man-sbx7 0670-bad-input
exit 0
