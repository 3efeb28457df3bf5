#!/bin/bash
# The cases that take longer, over TCP.
# limit 900
# long
# shellcheck source=tests/t/remote_cases.sh
. "${TOP:?}/tests/t/remote_cases.sh"
# other operations each time; the seed is printed if they fail
export SBX_SEED=$RANDOM
remote_cases 0533-tree-compare 0535-tree-stress 0505-tree-sessions 0512-tree-rm-jobs 0524-tree-logs \
    0551-tree-signals 0565-reboot 0566-tree-death 0567-tree-before \
    0580-tree-many 0581-tree-commands 0582-tree-races 0587-events \
    0588-idle 0721-ports
exit 0
