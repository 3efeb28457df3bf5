#!/bin/sh
# config-man.sh: the keys in the table of config_keys.c, in sbxd.toml(5) and in
# the example file are the same, in the same order; and so are the defaults of
# the latter two. (A unit test loads the example and compares with the table.)
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk '
/^static const struct row keys/ { prefix = ""; on = 1 }
/^static const struct row profile_keys/ { prefix = "pool.base.NAME."; on = 1 }
/^static const struct row image_keys/ { prefix = "images.NAME."; on = 1 }
/^};/ { on = 0 }
on && match($0, /^\t\{ "[a-z0-9_.]+"/) {
	print prefix substr($0, RSTART + 4, RLENGTH - 5)
}' daemon/config_keys.c >"$tmp/table"

# .It Ic KEY [No = VALUE]
awk '
$1 == ".It" && $2 == "Ic" {
	value = ""
	if ($5 == "=")
		value = $6 == "Qq" ? "\"" (NF > 6 ? $NF : "") "\"" : $6
	print $3, value
}' man/sbxd.toml.5 >"$tmp/man"

# [table], #[table] and #key = value
awk '
match($0, /^#?\[[a-z_.]+\]$/) {
	table = $0
	gsub(/[#\[\]]/, "", table)
	sub(/^pool\.base\..*/, "pool.base.NAME", table)
	sub(/^images\..*/, "images.NAME", table)
}
match($0, /^#[a-z_]+ = /) {
	key = table "." substr($1, 2)
	print key, key == "images.NAME.path" ? "" : $3
}' config/sbxd.toml >"$tmp/example"

cut -d' ' -f1 "$tmp/man" >"$tmp/man.keys"
[ -s "$tmp/table" ]
diff -u --label config_keys.c --label 'sbxd.toml(5)' "$tmp/table" \
    "$tmp/man.keys"
diff -u --label config/sbxd.toml --label 'sbxd.toml(5)' "$tmp/example" \
    "$tmp/man"
