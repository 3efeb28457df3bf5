#!/bin/bash
# Every example of sbx(7), in order, in one shell: each command must succeed.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs

# The literal blocks of the page, as its reader sees them.
sed -n '/^\.Bd -literal/,/^\.Ed/p' "$TOP/man/sbx.7" | sed -e '/^\.[BE]d/d' \
    -e "s/\\\\(aq/'/g" -e 's/\\e/\\/g' -e 's/\\&//g' \
    -e "s|/sbx/|$M/|g" >"$W/examples"
check 'examples in the page' test "$(wc -l <"$W/examples")" -gt 60

local_only "other users" || sed -i '/ users/d' "$W/examples"

cd "$W" || fail 'no work directory'
# A command after ! must fail.
sed 's/^! \(.*\)$/if \1; then echo succeeded; exit 1; fi/' "$W/examples" \
    >"$W/examples.sh"
timeout $((60 * SLOW)) bash -eux "$W/examples.sh" >"$W/examples.out" 2>&1 ||
    fail "an example failed: $(tail -n 5 "$W/examples.out")"
has 'a greeting' "$(cat "$W/examples.out")" hi
eq 'what is left' "$(cat "$M/ctl")" ''
exit 0
