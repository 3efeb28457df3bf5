#!/bin/bash
# fs/ over TCP, by the agents.
# limit 300
# shellcheck source=tests/t/remote_cases.sh
. "${TOP:?}/tests/t/remote_cases.sh"
remote_cases 0530-tree-fs 0532-tree-slow 0533-tree-compare 0534-tree-coherence \
    0536-tree-moved 0537-tree-edges 0540-tree-links
exit 0
