#!/bin/bash
# Control files over TCP.
# limit 300
# shellcheck source=tests/t/remote_cases.sh
. "${TOP:?}/tests/t/remote_cases.sh"
remote_cases 0500-tree-shells 0510-tree-directories 0520-tree-lines \
    0522-tree-errors 0525-tree-tools 0526-tree-matrix 0529-tree-readback \
    0550-tree-waiting 0600-readme-session 0610-both-doors
exit 0
